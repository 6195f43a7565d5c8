--- lurcher.fields: texts as fields of files with one entry per line and tabs between fields. File and class names may
-- have any byte but "/" and NUL in them, and a line feed in a name must not make a line.

local fields = {}

local short = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\" }
local long = { n = "\n", r = "\r", t = "\t", ["\\"] = "\\" }

--- A text without control characters: those become \n, \r, \t or \xNN, and a backslash becomes two.
function fields.escaped(text)
  return (text:gsub("[%c\\]", function(c) return short[c] or ("\\x%02x"):format(c:byte()) end))
end

--- The text that escaped made of it.
function fields.unescaped(text)
  local out, at = {}, 1
  while true do
    local first = text:find("\\", at, true)
    if not first or first == #text then break end
    out[#out + 1] = text:sub(at, first - 1)
    local letter, digits = text:sub(first + 1, first + 1), text:match("^x(%x%x)", first + 1)
    out[#out + 1] = digits and string.char(tonumber(digits, 16)) or long[letter] or "\\" .. letter
    at = first + (digits and 4 or 2)
  end
  return table.concat(out) .. text:sub(at)
end

--- The fields of a line, as they were before escaped.
function fields.split(line)
  local list = {}
  for field in (line .. "\t"):gmatch "([^\t]*)\t" do list[#list + 1] = fields.unescaped(field) end
  return list
end

return fields
