--- lurcher.shell: command lines that are printed for people to paste.

local shell = {}

--- A word as a shell reads it back: in quotes where it needs any. Control characters, which would not survive a paste,
-- become the escapes of $'...'.
function shell.quoted(word)
  word = tostring(word)
  if word:find "^[A-Za-z0-9_./:=,+@%%-]+$" then return word end
  if word:find "%c" then
    return "$'" .. word:gsub("[\\']", "\\%0"):gsub("%c", function(c) return ("\\%03o"):format(c:byte()) end) .. "'"
  end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- A format whose arguments are words of a command line: shell.command("lurcher report %s", path).
function shell.command(format, ...)
  local words = { ... }
  for i, word in ipairs(words) do words[i] = shell.quoted(word) end
  return format:format(table.unpack(words))
end

return shell
