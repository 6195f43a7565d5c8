--- compare.lua - compares runs side by side
-- Prints the settings that differ, each run's best epoch, and its figures on every set that it was evaluated on
-- (figures.json, which lurcher report writes). --html writes the same with the curves in common charts.

local lurcher = require "lurcher"
local options = require "lurcher.recipe.options"

local spec = {
  name = "compare",
  summary = "Compares runs side by side: settings that differ, best epochs, figures, times.",
  { "html", "file", help = "page to write, with the curves of all runs in common charts" },
  arguments = { name = "RUN", min = 1, help = "run folders" },
}

local function main(o)
  local compare = require "lurcher.report.compare"
  local runs = compare.read(o.arguments)
  print(compare.text(runs, (lurcher.columns())))
  if o.html then print("page: " .. compare.write(runs, o.html)) end
end

options.main(spec, arg, main)
