---@meta
-- report.lua - require "lurcher.report"; see lurcher.lua for the conventions.

---One self-contained HTML page about a run: curves, calibration, worst mistakes with their images,
---most confused classes, class-activation maps, confusion matrix, classes, settings.
---
---    local report = require "lurcher.report"
---    local scores, rows = report.scores(run, loader, "predictions")
---    print(report.write(run_folder, { set = valid, scores = scores, rows = rows }))
---@class lurcher.report
local report = {}
---The probabilities of a compiled run for every image of a loader that does not shuffle and that could be read: a
---tensor for `scores`, and the list of their numbers for `rows`. output: name of the output with class probabilities;
---by default the first.
function report.scores(run, loader, output) end
---@class lurcher.report_options
---@field out? string page to write; default: report.html in the folder; with `data` report-NAME.html
---@field data? string folder to evaluate on, with one subfolder per class; default: the run's own DIR/valid
---@field set? lurcher.dataset these images instead
---@field scores? lurcher.tensor their probabilities, where they are known
---@field rows? integer[] the number of the image of each row; default: all images in order
---@field output? string output with class probabilities, of a model of several
---@field mistakes? integer number of mistakes to show; default 24
---@field maps? integer number of images to show with class-activation maps; default 8
---@field device? lurcher.device|string for predictions
---@field batch? integer for predictions
---@field workers? integer for predictions

---Writes the page, and figures.json for `lurcher compare`: `report.write "runs/train-001"`. Raises where the folder is
---not
---a run's or the images are missing.
---@param folder string|table a run folder
---@param o? lurcher.report_options
---@return string path of the page
function report.write(folder, o) end
---Where the page of a run is written: o.out, or report.html in the run's folder, or with o.data report-NAME.html.
function report.page_path(path, o) end
