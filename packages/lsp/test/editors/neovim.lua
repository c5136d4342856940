-- Drives Neovim (0.7 and later) against the language server and writes what became of it, as JSON, to the file that
-- INCIPIT_RESULT names. The file to edit is open, and configured as the docs say.
local client

local function wait(what, done)
  assert(vim.wait(60000, done, 20), 'it never came to that: ' .. what)
end

local function clients()
  return vim.lsp.get_clients and vim.lsp.get_clients({ bufnr = 0 }) or vim.tbl_values(vim.lsp.buf_get_clients(0))
end

local function request(method, params)
  local answers = vim.lsp.buf_request_sync(0, method, params, 60000)
  local answer = answers and answers[client.id]
  assert(answer and not answer.err, method .. ': ' .. vim.inspect(answers))
  return answer.result
end

local function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), '\n')
end

local original = vim.api.nvim_buf_get_lines(0, 0, -1, true)
local result = {}
local ok, failure = pcall(function()
  wait('attached', function()
    client = clients()[1]
    return client ~= nil and client.name == 'incipit'
  end)

  -- Typed in the eighth line, and the list's first entry is taken.
  vim.api.nvim_win_set_cursor(0, { 8, 0 })
  vim.cmd('normal! Aconst next = val')
  -- A cursor of insert mode, behind the last letter.
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.position.character = params.position.character + 1
  local items = {}
  -- While the model is loaded there are none.
  wait('entries', function()
    local list = request('textDocument/completion', params)
    items = list.items or list
    return #items > 0
  end)
  result.entries = { items[1].textEdit.newText }
  vim.lsp.util.apply_text_edits({ items[1].textEdit }, vim.api.nvim_get_current_buf(), client.offset_encoding)
  result.completed = text()

  -- Taken back, and a name is changed: its other places are a code action.
  vim.api.nvim_buf_set_lines(0, 0, -1, true, original)
  vim.cmd('2substitute/total/sum/')
  local range = vim.lsp.util.make_range_params(0, client.offset_encoding)
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
if client then
  vim.lsp.stop_client(client.id)
  vim.wait(5000, function() return vim.lsp.get_client_by_id(client.id) == nil end)
end
vim.cmd('qall!')
