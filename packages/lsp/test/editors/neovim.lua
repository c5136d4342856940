-- Drives Neovim (0.7 and later) against the language server and writes what became of it, as JSON. The environment says
-- what is done: INCIPIT_COMMAND (JSON), INCIPIT_SETTINGS (JSON), INCIPIT_RESULT (a file). The file to edit is open.
local settings = vim.fn.json_decode(vim.env.INCIPIT_SETTINGS)
settings.status = true
local state
local id = vim.lsp.start_client({
  name = 'incipit',
  cmd = vim.fn.json_decode(vim.env.INCIPIT_COMMAND),
  root_dir = vim.fn.getcwd(),
  init_options = settings,
  handlers = {
    ['incipit/status'] = function(_, status) state = status.state end,
  },
})
vim.lsp.buf_attach_client(0, id)
local client = vim.lsp.get_client_by_id(id)

local function wait(what, done)
  assert(vim.wait(60000, done, 20), 'it never came to that: ' .. what)
end

local function request(method, params)
  local answers = vim.lsp.buf_request_sync(0, method, params, 60000)
  assert(answers and answers[id] and not answers[id].err, method .. ': ' .. vim.inspect(answers))
  return answers[id].result
end

local function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), '\n')
end

local original = vim.api.nvim_buf_get_lines(0, 0, -1, true)
local result = {}
local ok, failure = pcall(function()
  wait('ready', function() return state == 'ready' end)

  -- Typed in the eighth line, and the list's first entry is taken.
  vim.api.nvim_win_set_cursor(0, { 8, 0 })
  vim.cmd('normal! Aconst next = val')
  -- A cursor of insert mode, behind the last letter.
  local params = vim.lsp.util.make_position_params()
  params.position.character = params.position.character + 1
  local list = request('textDocument/completion', params)
  result.entries = vim.lsp.util.text_document_completion_list_to_complete_items(list, 'val')
  local items = list.items or list
  vim.lsp.util.apply_text_edits({ items[1].textEdit }, 0, client.offset_encoding)
  result.completed = text()

  -- Taken back, and a name is changed: its other places are a code action.
  vim.api.nvim_buf_set_lines(0, 0, -1, true, original)
  vim.cmd('2substitute/total/sum/')
  local range = vim.lsp.util.make_range_params()
  range.context = { diagnostics = {} }
  local actions = request('textDocument/codeAction', range)
  if #actions > 0 then
    result.action = actions[1].title
    vim.lsp.util.apply_workspace_edit(actions[1].edit, client.offset_encoding)
  end
  result.edited = text()
end)
if not ok then result.failure = failure end
vim.fn.writefile({ vim.fn.json_encode(result) }, vim.env.INCIPIT_RESULT)
client.stop()
vim.wait(5000, function() return client.is_stopped() end)
vim.cmd('qall!')
