;; Drives Emacs with lsp-mode, configured as the docs say, against the language server and writes what became of it, as JSON.
;; The environment names the file to edit (INCIPIT_FILE) and that of the result (INCIPIT_RESULT).
(require 'lsp-completion)

(defvar incipit-result (make-hash-table :test 'equal))

(defun incipit-wait (what done)
  "Waits until DONE gives something, and returns that."
  (let ((end (+ (float-time) 60)) found)
    (while (not (setq found (funcall done)))
      (when (> (float-time) end) (error "It never came to that: %s" what))
      (accept-process-output nil 0.05))
    found))

(defun incipit-text ()
  (buffer-substring-no-properties (point-min) (point-max)))

(defun incipit-candidates ()
  "What completes at point: where it stands, and the candidates."
  (lsp-completion--clear-cache)
  (let* ((found (lsp-completion-at-point))
         (typed (buffer-substring-no-properties (nth 0 found) (nth 1 found)))
         (candidates (all-completions typed (nth 2 found))))
    (and candidates (cons found candidates))))

;; What lsp-mode would ask somebody, and where it remembers that.
(setq lsp-auto-guess-root t
      lsp-session-file (expand-file-name "session" (file-name-directory (getenv "INCIPIT_RESULT"))))

(condition-case failure
    (progn
      (lsp-workspace-folders-add (file-name-directory (getenv "INCIPIT_FILE")))
      (find-file (getenv "INCIPIT_FILE"))
      ;; Nobody is idle here, which is when `lsp-deferred' starts.
      (mapc #'timer-event-handler (copy-sequence timer-idle-list))
      (incipit-wait "the server" (lambda () (lsp-feature? "textDocument/completion")))

      ;; Typed in the eighth line, and the first candidate is taken, as `completion-at-point' does.
      (let ((original (incipit-text)))
        (goto-char (point-min))
        (forward-line 7)
        (insert "const next = val")
        ;; While the model is loaded there are none.
        (let* ((all (incipit-wait "candidates" #'incipit-candidates))
               (found (car all))
               (candidates (cdr all)))
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
