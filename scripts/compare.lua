--- compare.lua - runs side by side
-- What their settings differ in, where each was best, and its figures on every set it was judged on (figures.json,
-- which lurcher report writes). --html writes the same with the curves laid over each other.

local options = require "lurcher.recipe.options"

local spec = {
  name = "compare",
  summary = "Shows runs side by side: settings that differ, best epochs, figures, times.",
  { "html", "file", help = "also write a page with the curves over each other" },
  arguments = { name = "RUN", min = 1, help = "run folders" },
}

local function main(o)
  local compare = require "lurcher.report.compare"
  local runs = compare.read(o.arguments)
  print(compare.text(runs))
  if o.html then print("page: " .. compare.write(runs, o.html)) end
end

options.main(spec, arg, main)
