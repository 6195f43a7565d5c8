--- report.lua - one HTML page about a run
-- RUN/report.html has the settings, curves, confusion matrix, classes, worst mistakes with their images, and where
-- the network looked. It needs nothing but itself: no script, no other file. Figures go into RUN/figures.json.

local options = require "lurcher.recipe.options"

local spec = {
  name = "report",
  summary = "Writes RUN/report.html: what a run did, and on which images it is wrong.",
  { "data", "path", value = "DIR",
    help = "folder with a folder a class to judge by (default: the run's validation images)" },
  { "out", "file",
    help = "page to write (default: report.html in RUN; with --data, report-NAME.html)" },
  { "output", "string", value = "NAME", help = "output that tells classes, of a model with several" },
  { "mistakes", "integer", default = 24, min = 0, max = 1000, help = "mistakes to show" },
  { "maps", "integer", default = 8, min = 0, max = 200, help = "images to show with where the network looked" },
  { "batch", "integer", default = 32, min = 1, help = "images a step" },
  { "device", "device", default = "auto" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that read images" },
  arguments = { name = "RUN", min = 1, max = 1, help = "run folder" },
}

local function main(o)
  print("report: " .. require "lurcher.report".write(o.arguments[1], o))
end

options.main(spec, arg, main)
