---@meta
-- reference.lua - require "lurcher.reference"; see lurcher.lua for the conventions.

---What lurcher.help answers with. It reads the annotations of bindings/api/ (the format of the Lua
---language server), finds what a topic means, and writes it as text. The files are compiled in; nothing is read before
---the first question.
---
---    local all = reference.read(texts)                  -- { nn = text of api/nn.lua, ... }
---    print((reference.explain(all, "conv2d")))
---
---An entry is a table: name ("nn.conv2d", "tensor:sum"), kind ("function", "class", "alias" or "options"), text
---(lines),
---arguments ("options, ..."), params, returns, fields ({ name, type, text }), overloads, base (of a class).
---@class lurcher.reference
local reference = {}
---The entries of texts of annotation files, by name of the file. recipes: their first lines, by name.
function reference.read(texts, recipes) end
---Help about a topic, or about any value, as text; and whether something was found.
function reference.explain(all, topic) end
