--- report.lua - writes one HTML page about a run
-- RUN/report.html has the settings, curves, confusion matrix, classes, worst mistakes with their images, and
-- class-activation maps. It is self-contained: no other file. Figures go into RUN/figures.json. With --watch it shows a
-- training that runs.

local options = require "lurcher.recipe.options"

local spec = {
  name = "report",
  summary = "Writes RUN/report.html: settings, curves, confusion and worst mistakes of a run.",
  { "data", "path", value = "DIR",
    help = "folder to evaluate on, with one subfolder per class (default: the run's validation images)" },
  { "out", "file",
    help = "page to write (default: report.html in RUN; with --data, report-NAME.html)" },
  { "output", "string", value = "NAME", help = "output to take the predictions from, for a model of several" },
  { "mistakes", "integer", default = 24, min = 0, max = 1000, help = "number of mistakes to show" },
  { "maps", "integer", default = 8, min = 0, max = 200, help = "number of images to show with class-activation maps" },
  { "batch", "integer", default = 32, min = 1, max = 65536, help = "images per step" },
  { "device", "device", default = "auto" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that decode images" },
  { "watch", "flag",
    help = "while the training runs, write the page again at each epoch; open in a browser, it refreshes itself; ends "
      .. "with the training" },
  { "every", "number", default = 3, min = 0.1, max = 3600, value = "SECONDS",
    help = "seconds between two looks of --watch, and between two refreshes" },
  arguments = { name = "RUN", min = 1, max = 1, help = "run folder" },
}

local function main(o)
  if o.watch then
    local page = require "lurcher.recipe.report_watch".run(o.arguments[1], o)
    if not page then return 130 end
    print("report: " .. page)
  else
    print("report: " .. require "lurcher.report".write(o.arguments[1], o))
  end
end

options.main(spec, arg, main)
