;; Drives Emacs with lsp-mode against the language server and writes what became of it, as JSON. The environment says what
;; is done: INCIPIT_COMMAND (JSON), INCIPIT_SETTINGS (JSON), INCIPIT_FILE, INCIPIT_RESULT (files).
(require 'package)
(package-initialize)
(require 'json)
(require 'lsp-mode)
(require 'lsp-completion)

(defvar incipit-state nil)
(defvar incipit-result (make-hash-table :test 'equal))

(defun incipit-given (name)
  (json-parse-string (getenv name) :array-type 'list :false-object :json-false))

(defun incipit-wait (what done)
  (let ((end (+ (float-time) 60)))
    (while (not (funcall done))
      (when (> (float-time) end) (error "It never came to that: %s" what))
      (accept-process-output nil 0.05))))

(defun incipit-text ()
  (buffer-substring-no-properties (point-min) (point-max)))

(setq lsp-auto-guess-root t
      lsp-warn-no-matched-clients nil
      lsp-enable-snippet nil
      lsp-session-file (expand-file-name "session" (file-name-directory (getenv "INCIPIT_RESULT"))))
(let ((settings (incipit-given "INCIPIT_SETTINGS")))
  (puthash "status" t settings)
  (lsp-register-client
   (make-lsp-client
    :new-connection (lsp-stdio-connection (incipit-given "INCIPIT_COMMAND"))
    :activation-fn (lambda (&rest _) t)
    :add-on? t
    :server-id 'incipit
    :initialization-options settings
    :notification-handlers
    (lsp-ht ("incipit/status" (lambda (_workspace status) (setq incipit-state (gethash "state" status))))))))

(condition-case failure
    (progn
      (find-file (getenv "INCIPIT_FILE"))
      (js-mode)
      (lsp-workspace-folders-add default-directory)
      (lsp)
      (incipit-wait "ready" (lambda () (equal incipit-state "ready")))

      ;; Typed in the eighth line, and the first candidate is taken, as `completion-at-point' does.
      (let ((original (incipit-text)))
        (goto-char (point-min))
        (forward-line 7)
        (insert "const next = val")
        (let* ((found (lsp-completion-at-point))
               (candidates (all-completions (buffer-substring (nth 0 found) (nth 1 found)) (nth 2 found))))
          (puthash "entries" (apply #'vector (mapcar #'substring-no-properties candidates)) incipit-result)
          (delete-region (nth 0 found) (nth 1 found))
          (goto-char (nth 0 found))
          (insert (car candidates))
          (funcall (plist-get (nthcdr 3 found) :exit-function) (car candidates) 'finished))
        (puthash "completed" (incipit-text) incipit-result)

        ;; Taken back, and a name is changed: its other places are a code action.
        (erase-buffer)
        (insert original))
      (goto-char (point-min))
      (forward-line 1)
      (search-forward "total")
      (replace-match "sum" t)
      (let ((action (car (lsp-code-actions-at-point))))
        (when action
          (puthash "action" (gethash "title" action) incipit-result)
          (lsp-execute-code-action action)))
      (puthash "edited" (incipit-text) incipit-result))
  (error (puthash "failure" (error-message-string failure) incipit-result)))

(let ((coding-system-for-write 'utf-8))
  (write-region (json-serialize incipit-result) nil (getenv "INCIPIT_RESULT")))
(set-buffer-modified-p nil)
(kill-emacs 0)
