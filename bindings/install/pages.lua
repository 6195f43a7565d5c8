--- pages: writes man pages and completions from what the program says of itself.
--   lurcher pages.lua DIR    DIR/man1/lurcher.1, DIR/man1/lurcher-RECIPE.1, DIR/lurcher.bash, DIR/_lurcher
local lurcher = require "lurcher"

local program, out = arg[-1], arg[1] or error("usage: lurcher pages.lua DIR", 0)

--- The output of the program with these words. The width of help is fixed, whatever the terminal's.
local function ask(words)
  local pipe = assert(io.popen(("COLUMNS=100 '%s' %s </dev/null"):format(program, words)))
  local text = pipe:read "a"
  assert(pipe:close(), words .. ": failed")
  return text
end

local function write(name, text) assert(lurcher.write_file(out .. "/" .. name, text)) end

-- ---- reading help ----

--- A page of help as { usage, paragraphs, entries = { { head, text } } }: entries are the lines that begin with two spaces,
-- each with the lines that continue it.
local function read_help(text)
  local page = { usage = text:match "^usage: ([^\n]*)", paragraphs = {}, entries = {} }
  local column, paragraph
  for line in text:gsub("^usage: [^\n]*\n", ""):gmatch "([^\n]*)\n" do
    local head, rest = line:match "^  (%S.-)%s%s+(%S.*)$"
    local alone = not head and line:match "^  (%S.*)$"
    local entry = page.entries[#page.entries]
    if head or alone then
      column = true
      page.entries[#page.entries + 1] = { head = head or alone, text = rest or "" }
    elseif column and entry and line:find "^   " then
      entry.text = (entry.text .. " " .. line:match "^%s*(.-)$"):gsub("^ ", "")
    elseif line == "" or line:find ":$" and #line < 20 then
      column, paragraph = line ~= "" or nil, nil
    elseif paragraph then
      page.paragraphs[#page.paragraphs] = page.paragraphs[#page.paragraphs] .. " " .. line
    else
      paragraph = true
      page.paragraphs[#page.paragraphs + 1] = line
    end
  end
  return page
end

local recipes = {}
for line in ask "recipes":gmatch "[^\n]+" do
  local name, text = line:match "^  (%S+)%s+(.*)$"
  if name then recipes[#recipes + 1] = { name = name, summary = text }
  else recipes[#recipes].summary = recipes[#recipes].summary .. line:gsub("^%s*", " ") end
end
for _, recipe in ipairs(recipes) do recipe.page = read_help(ask(recipe.name .. " --help")) end
assert(#recipes > 0)

-- ---- man pages ----

--- Text for roff: no escapes, no lines that begin with a dot or an apostrophe, hyphens that can be copied.
local function roff(text) return (text:gsub("\\", "\\e"):gsub("-", "\\-"):gsub("^(['.])", "\\&%1")) end

local function man_page(name, summary, page, more)
  local lines = { (".TH %s 1 \"\" \"Lurcher %s\" \"User Commands\""):format(name:upper():gsub("-", "\\-"), lurcher.version),
    ".SH NAME", ("%s \\- %s"):format(roff(name), roff(summary:gsub("%.$", ""))),
    ".SH SYNOPSIS", ".B " .. roff(page.usage) }
  if #page.paragraphs > 0 then lines[#lines + 1] = ".SH DESCRIPTION" end
  for i, paragraph in ipairs(page.paragraphs) do
    if i > 1 then lines[#lines + 1] = ".PP" end
    lines[#lines + 1] = roff(paragraph)
  end
  if #page.entries > 0 then lines[#lines + 1] = ".SH OPTIONS" end
  for _, entry in ipairs(page.entries) do
    lines[#lines + 1] = ".TP\n.B " .. roff(entry.head)
    lines[#lines + 1] = roff(entry.text)
  end
  for _, line in ipairs(more or {}) do lines[#lines + 1] = line end
  return table.concat(lines, "\n") .. "\n"
end

local main, recipe_list, others = read_help(ask "--help"), { ".SH RECIPES" }, {}
for _, recipe in ipairs(recipes) do
  recipe_list[#recipe_list + 1] = (".TP\n.B lurcher %s\n%s"):format(roff(recipe.name), roff(recipe.summary))
  others[#others + 1] = (".BR lurcher\\-%s (1)"):format(roff(recipe.name))
end
recipe_list[#recipe_list + 1] = ".SH SEE ALSO\n" .. table.concat(others, ",\n")
write("man1/lurcher.1", man_page("lurcher", "a scriptable deep-learning engine", main, recipe_list))
for _, recipe in ipairs(recipes) do
  write(("man1/lurcher-%s.1"):format(recipe.name), man_page("lurcher-" .. recipe.name, recipe.summary, recipe.page,
    { ".SH SEE ALSO\n.BR lurcher (1)" }))
end

-- ---- completions ----

--- The options of a page: { name = "--epochs", value = "N" or nil, choices = "a b" or nil, text }.
local function options_of(page)
  local options = {}
  for _, entry in ipairs(page.entries) do
    local switch = entry.head:match "^%-%-%[no%-%](%S+)$"
    for _, name in ipairs(switch and { "--" .. switch, "--no-" .. switch } or {}) do
      options[#options + 1] = { name = name, text = entry.text }
    end
    local name, value = entry.head:match "^(%-%-?[%w-]*%w)%s*(.*)$"
    if name then
      options[#options + 1] = { name = name, text = entry.text, value = value ~= "" and value or nil,
        choices = value:find "|" and not value:find "%u%u" and value:gsub("|", " ") or nil }
    end
  end
  return options
end

local function names_of(options)
  local names = {}
  for i, option in ipairs(options) do names[i] = option.name end
  return table.concat(names, " ")
end

local words = { "cache", "devices", "help", "recipes" }
for _, recipe in ipairs(recipes) do if recipe.name ~= "cache" then words[#words + 1] = recipe.name end end
table.sort(words)

local bash = { "# bash completion for lurcher", "_lurcher() {",
  '  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= options= values= i',
  "  for ((i = 1; i < COMP_CWORD; i++)); do",
  "    case ${COMP_WORDS[i]} in -e) ((i++)) ;; -*) ;; *) command=${COMP_WORDS[i]}; break ;; esac",
  "  done", "  case $command in" }
local function bash_command(pattern, options)
  bash[#bash + 1] = ("    %s)\n      options=\"%s\"\n      case $before in"):format(pattern, names_of(options))
  for _, option in ipairs(options) do
    if option.choices then bash[#bash + 1] = ("        %s) values=\"%s\" ;;"):format(option.name, option.choices) end
  end
  bash[#bash + 1] = "      esac ;;"
end
bash_command('""', options_of(main))
for _, recipe in ipairs(recipes) do bash_command(recipe.name, options_of(recipe.page)) end
bash[#bash + 1] = [=[
  esac
  if [[ -n $values ]]; then
    COMPREPLY=($(compgen -W "$values" -- "$word"))
  elif [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  else
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$word"))
    if [[ -z $command ]]; then COMPREPLY+=($(compgen -W "]=] .. table.concat(words, " ") .. [=[" -- "$word")); fi
  fi
}
complete -F _lurcher lurcher
]=]
write("lurcher.bash", table.concat(bash, "\n"))

--- A text within single quotes of an _arguments specification.
local function zsh_text(text) return (text:gsub("'", "'\\''"):gsub("[%[%]:]", "\\%0")) end

local zsh = { "#compdef lurcher", "_lurcher() {", "  local -a commands", "  commands=(" }
for _, recipe in ipairs(recipes) do
  zsh[#zsh + 1] = ("    '%s:%s'"):format(recipe.name, zsh_text(recipe.summary))
end
zsh[#zsh + 1] = [[
    'devices:list the devices'
    'recipes:list the recipes'
    'help:print help'
  )
  if (( CURRENT == 2 )); then
    _describe 'recipe' commands
    _files
    return
  fi
  case ${words[2]} in]]
for _, recipe in ipairs(recipes) do
  zsh[#zsh + 1] = ("    %s)\n      shift words; (( CURRENT-- ))\n      _arguments \\"):format(recipe.name)
  for _, option in ipairs(options_of(recipe.page)) do
    local value = option.choices and (":value:(%s)"):format(option.choices) or option.value and ":value:_files" or ""
    zsh[#zsh + 1] = ("        '%s[%s]%s' \\"):format(option.name, zsh_text(option.text), value)
  end
  zsh[#zsh + 1] = "        '*:file:_files' ;;"
end
zsh[#zsh + 1] = "    *) _files ;;\n  esac\n}\n_lurcher \"$@\"\n"
write("_lurcher", table.concat(zsh, "\n"))
