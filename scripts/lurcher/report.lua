--- lurcher.report: one self-contained HTML page about a run: curves, calibration, worst mistakes with their images,
-- most confused classes, class-activation maps, confusion matrix, classes, settings.
--
--     local report = require "lurcher.report"
--     local scores, rows = report.scores(run, loader, "predictions")
--     print(report.write(run_folder, { set = valid, scores = scores, rows = rows }))
--
-- This file collects the page's data and puts the sections together; their parts are files of lurcher/report/. A new
-- section is a function of the page's data that returns elements, and a line in `sections`.

local lfs = require "lfs"
local lurcher = require "lurcher"
local files, kept_path = require "lurcher.files", require "lurcher.kept_path"
local logs_of, prediction = require "lurcher.logs", require "lurcher.prediction"
local activation, curves = require "lurcher.report.activation", require "lurcher.report.curves"
local figures, html = require "lurcher.report.figures", require "lurcher.report.html"
local matrix, images = require "lurcher.report.matrix", require "lurcher.report.images"
local record_of, reliability = require "lurcher.report.record", require "lurcher.report.reliability"
local e = html.element
local format = lurcher.format

local report = {}

-- ---- sections: each a function of the page's data; false: there is no such section ----

local function percent(share) return share and format("%.1f %%", 100 * share) end

local function tile(value, what) return value and e.div{ class = "tile", e.b{ value }, e.span{ what } } or false end

--- Time of the whole training, with what came before the first epoch: computing the features of a frozen backbone. Of
-- a run that has no record of it (earlier versions), the time of the epochs alone.
local function time_tile(record)
  local training = record_of.total(record.history, "seconds")
  local waiting, knows_waiting = record_of.total(record.history, "wait_seconds")
  local validating = record_of.total(record.history, "check_seconds")
  local whole, features = record.training.seconds, record.training.feature_seconds
  local epochs = training + validating
  if not whole and epochs == 0 then return false end
  local parts = {}
  if whole then
    parts[1] = "whole time: " .. (features and features >= 0.5 and logs_of.duration(features) .. " for features, "
      or "") .. logs_of.duration(epochs) .. " in epochs"
  else
    parts[1] = "in epochs"
  end
  if knows_waiting and epochs > 0 then
    parts[2] = format("%.0f %% of these waiting for data", 100 * waiting / epochs)
  end
  if validating > 0 then parts[#parts + 1] = format("%.0f %% validating", 100 * validating / epochs) end
  return tile(logs_of.duration(whole or epochs), table.concat(parts, ", "))
end

--- "20.9 M", "16.4 k".
local function shortened(count)
  if count < 1e3 then return format("%.0f", count) end
  if count < 1e6 then return format("%.1f\u{a0}k", count / 1e3) end
  return format("%.1f\u{a0}M", count / 1e6)
end

--- Parameters of the model, or of the text of its layers where there is no model yet; and those that learned.
local function parameters_tile(page)
  local text = files.read(page.record.path .. "/model.txt") or ""
  local total, learned = text:match "([%d,]+) parameters, ([%d,]+) trainable"
  total = page.model and page.model:parameters() or total and lurcher.number((total:gsub(",", "")))
    or page.record.training.parameters
  learned = page.record.training.learned or learned and lurcher.number((learned:gsub(",", "")))
  local words = learned and ("parameters, %s trained"):format(shortened(learned)) or "parameters"
  return total and tile(shortened(total), words) or false
end

local function size_tile(record)
  local bytes = lfs.attributes(record.path .. "/model.safetensors", "size")
  return bytes and tile(logs_of.size(bytes), "model.safetensors") or false
end

local function device_tile(record)
  local settings, device = record.settings, record.training.device
  local asked = settings.options.device
  device = device or type(asked) == "string" and asked ~= "auto" and asked
  local threads = type(settings.threads) == "number" and format("%d compute threads", settings.threads)
  return device and tile(device, "device" .. (threads and ", " .. threads or "")) or false
end

local function best_tile(record)
  local best, last = record.best, record.kept
  if not best then return false end
  local words = record.settings.options.era == "2017" and "last epoch, whose model was kept" or "best epoch"
  local number, count = best.epoch, #record.history.rows
  if #record.stages > 1 then
    words = words .. format(", of stage %g", last.number)
    number, count = best.epoch - last.rows[1].epoch + 1, #last.rows
  end
  return tile(format("%g of %d", number, count), words)
end

local function summary(page)
  local found, record = page.found, page.record
  return { e.div{ class = "tiles", found and {
      tile(percent(found.top_1), ("correct, of %d images"):format(found.count)),
      tile(percent(found.top_5), "correct within the first five"), tile(format("%.3f", found.log_loss), "log-loss"),
      tile(percent(found.calibration.ece), "calibration error (ECE)"),
      tile(tostring(#found.mistakes), "mistakes") } or false,
    best_tile(record), time_tile(record), parameters_tile(page), size_tile(record), device_tile(record) } }
end

local function curves_section(page)
  if not page.record.history or #page.record.history.rows == 0 then return false end
  return { e.h2{ id = "curves", "Curves" }, e.p{ class = "soft", "Training values are means over an epoch, ",
    "taken while the weights change, with dropout and augmentation: losses may be above those of validation. A ring ",
    "is the epoch whose model was kept. Point at a chart, or touch it, for its values." },
    e.div{ class = "charts", curves.of(page.record) } }
end

local function mistakes_section(page)
  local found = page.found
  if not found then return false end
  local shown = math.min(page.mistakes, #found.mistakes)
  if shown == 0 then return { e.h2{ id = "mistakes", "Mistakes" }, e.p{ "None." } } end
  return { e.h2{ id = "mistakes", "Worst mistakes" },
    e.p{ class = "soft", ("%d of %d, ordered by the probability of the true class, the least first."):format(shown,
      #found.mistakes) }, images.mistakes(page.set, found, page.classes, shown) }
end

local function confused_section(page)
  local found = page.found
  if not found or #found.pairs == 0 then return false end
  return { e.h2{ id = "confused", "Most confused classes" }, images.confused(page.set, found, page.classes, 6) }
end

local function calibration_section(page)
  local found = page.found
  if not found then return false end
  return { e.h2{ id = "calibration", "Confidence" }, e.p{ class = "soft", "Whether probabilities mean what they say, ",
    "and what is gained where the least confident predictions are left to a person. ECE, the expected calibration ",
    "error: the mean over predictions of the difference between the accuracy and the mean confidence of their bin, of ",
    ("%d equal bins of confidence (Guo et al., 2017)."):format(#found.calibration.bins) },
    reliability.charts(found) }
end

local function matrix_section(page)
  local found = page.found
  if not found then return false end
  return { e.h2{ id = "matrix", "Confusion" }, e.p{ class = "soft", "Rows are true classes, columns predictions; ",
    "a cell's strength is its share of the row. Point at a cell, or touch it, for its names." },
    matrix.heat_map(found.matrix, page.classes) }
end

local function classes_section(page)
  local found = page.found
  if not found then return false end
  return { e.h2{ id = "classes", "Classes" }, e.p{ class = "soft", "Worst first. Precision: share of the images ",
    "predicted as the class that are of it; recall: share of the class's images that are predicted as it; F1: the ",
    "harmonic mean of both." },
    matrix.class_table(found.classes, page.classes) }
end

--- The images to show with maps: worst mistakes, then correct predictions of other classes, the least confident first.
local function mapped(found, most)
  local list, seen = {}, {}
  for i = 1, math.min(most // 2, #found.mistakes) do
    list[i] = found.mistakes[i]
    seen[list[i].truth] = true
  end
  local right = {}
  for _, entry in ipairs(found.predictions) do if entry.predicted == entry.truth then right[#right + 1] = entry end end
  table.sort(right, function(a, b)
    if a.p_predicted ~= b.p_predicted then return a.p_predicted < b.p_predicted end
    return a.row < b.row
  end)
  for _, entry in ipairs(right) do
    if #list >= most then break end
    if not seen[entry.truth] then list[#list + 1], seen[entry.truth] = entry, true end
  end
  return list
end

local function activation_section(page)
  if not page.found or page.maps == 0 then return false end
  local head = e.h2{ id = "looked", "Class-activation maps" }
  local maps, reason = activation.of(page.model, page.metadata, page.output, page.device)
  if not maps then return { head, e.p{ class = "soft", "None: ", reason, "." } } end
  return { head, e.p{ class = "soft", "Where in the image the evidence for the predicted class is, and, for a ",
    "mistake, that for the true class." },
    activation.figures(maps, page.set, mapped(page.found, page.maps), page.classes) }
end

local function value_text(value)
  if type(value) == "number" then return math.type(value) == "float" and format("%g", value) or tostring(value) end
  if type(value) == "table" then return lurcher.json.encode(value) end
  return tostring(value)
end

local function settings_section(page)
  local settings, list, names = page.record.settings, {}, {}
  local function add(name, value)
    if value ~= nil then list[#list + 1] = e.div{ e.dt{ html.breaking(name) },
      e.dd{ html.breaking(value_text(value)) } } end
  end
  for name in pairs(settings.options) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do add((name:gsub("_", "-")), settings.options[name]) end
  for _, name in ipairs{ "recipe", "version", "threads", "started" } do add(name, settings[name]) end
  return { e.h2{ id = "settings", "Settings" }, page.record.command ~= ""
    and e.p{ e.code{ html.breaking(page.record.command) } },
    e.div{ class = "card", e.dl{ class = "settings", style = "margin:0", list } } }
end

local sections <const> = { curves_section, calibration_section, mistakes_section, confused_section, activation_section,
  matrix_section, classes_section, settings_section }

local links <const> = { { "curves", "curves" }, { "calibration", "confidence" }, { "mistakes", "mistakes" },
  { "confused", "confused classes" }, { "looked", "class-activation maps" }, { "matrix", "confusion" },
  { "classes", "classes" }, { "settings", "settings" } }

--- The links to the sections that the page has.
local function links_of(content)
  local text, list = html.text(content), {}
  for _, link in ipairs(links) do
    local is_there = text:find(('<h2 id="%s"'):format(link[1]), 1, true)
    if is_there then list[#list + 1] = e.a{ href = "#" .. link[1], link[2] } end
  end
  return e.nav(list)
end

local states <const> = { running = "training is running", interrupted = "training was interrupted",
  diverged = "training diverged", stopped = "training stopped without an end: its process is gone" }

--- The state of a training that has not ended well, with its progress; false for others.
local function state_notice(page)
  local record = page.record
  local words = states[page.state or record.training.state]
  if not words then return false end
  local epochs, last = record.settings.options.epochs, record.history and record.history.rows[#record.history.rows]
  local done = record.history and #record.history.rows or 0
  if #record.stages > 1 then
    done, epochs = #record.stages[#record.stages].rows, nil
    words = words .. (", stage %s"):format(last.stage and format("%g", last.stage) or "?")
  end
  return e.p{ class = "card notice", e.b{ words }, (": %d %s%s"):format(done, done == 1 and "epoch" or "epochs",
    math.type(epochs) == "integer" and #record.stages < 2 and (" of %d done"):format(epochs) or " done"),
    page.refresh and (", as of %s"):format(os.date "!%H:%M:%S UTC") or "" }
end

local function header(page, content)
  local settings = page.record.settings
  local started = settings.started and " \u{00b7} " .. settings.started:gsub("T", " "):gsub("Z$", " UTC")
  return { e.h1{ html.breaking(page.record.name) }, e.p{ class = "soft", settings.recipe or "a run",
    page.set and { " \u{00b7} evaluated on ", e.code{ html.breaking(page.data) } }
      or " \u{00b7} training only: there is no model yet",
    started or false },
    state_notice(page), links_of(content) }
end

-- ---- the page's data ----

--- The probabilities of a compiled run for every image of a loader that does not shuffle and that could be read: a
-- tensor for `scores`, and the list of their numbers for `rows`. output: name of the output with class probabilities;
-- by default the first.
function report.scores(run, loader, output)
  local parts, rows, expected = {}, {}, 0
  local ok, leaves_out = pcall(function() return loader.leaves_out end) -- it has only images that could be read
  for batch in loader:epoch(0) do
    local scores, kept = run:predict(batch)[output or run.model.outputs[1]]:to "cpu", {}
    for i, image in ipairs(batch.index:totable()) do
      expected = expected + 1
      if ok and leaves_out or image + 1 == expected then kept[#kept + 1], rows[#rows + 1] = i, image + 1 end
    end
    if #kept > 0 then parts[#parts + 1] = #kept == #scores and scores or scores:select(kept) end
  end
  if #rows == 0 then error("no image could be read", 0) end
  return lurcher.concat(parts), rows
end

--- "valid" of ".../valid/".
local function base_name(path) return path:gsub("/+$", ""):match "[^/]+$" or path end

--- Where the page of a run is written: o.out, or report.html in the run's folder, or with o.data report-NAME.html.
function report.page_path(path, o)
  return o.out or path .. (o.data and ("/report-%s.html"):format(base_name(o.data)) or "/report.html")
end

--- Adds the set, the model, probabilities and figures. A run without a model has none of them.
local function evaluate(page, o)
  if not lfs.attributes(page.record.path .. "/model.safetensors") then
    if not o.data then return end
    error(("'%s' has no model.safetensors: its training is not finished"):format(page.record.path), 0)
  end
  page.model, page.metadata = prediction.open_model(page.record.path)
  page.classes = page.metadata.classes
  page.output = prediction.output(page.model, page.classes, o.output)
  local trained_with = {}
  for name, value in pairs(page.record.settings.options) do
    if type(value) == "string" then
      local is_path = name == "data" or name == "cache" and value ~= "none"
      trained_with[name] = is_path and kept_path.resolved(value, page.record.path) or value
    end
  end
  local trained_on = trained_with.data
  page.data = o.data or trained_on and trained_on .. "/valid"
  if not page.data then error(("the settings of the run in '%s' name no folder of images: give --data DIR"):format(
    page.record.path), 0) end
  local labelled = true
  if o.set then page.set = o.set else page.set, labelled = prediction.open_set(page.data, page.classes) end
  if not labelled then error(("'%s' has no subfolder with the name of a class"):format(page.data), 0) end
  local scores, rows = o.scores, o.rows or {}
  if scores then
    for i = #rows + 1, #scores do rows[i] = i end
  else
    scores, rows = prediction.predict(page.model, page.set, page.metadata, { device = o.device, batch = o.batch,
      workers = o.workers, output = page.output, cache = trained_with.cache, cache_store = trained_with.cache_store,
      existing = true })
  end
  local ids = {}
  for i, row in ipairs(rows) do ids[i] = page.set:class(row) end
  page.found = figures.of(scores, ids, rows, page.classes)
  record_of.add_figures(page.record.path, base_name(page.data), { data = kept_path.of(page.data, page.record.path),
    pictures = page.found.count, top_1 = page.found.top_1, top_5 = page.found.top_5, log_loss = page.found.log_loss,
    ece = page.found.calibration.ece })
end

--- Writes the page. `folder`: a run folder, as a path or an object. Options:
--   out                page to write     (report.html in the folder; with data, report-NAME.html, NAME its last folder)
--   data               folder to evaluate on, with one subfolder per class    (the run's own DIR/valid)
--   set, scores, rows  these images, their probabilities where they are known, and the number of the image of each row
--                      (all images in order)
--   output             output with class probabilities, of a model of several  (ctg_out, ctg_out_1, or the first)
--   mistakes           number of mistakes to show                                                         (24)
--   maps               number of images to show with class-activation maps                                 (8)
--   device, batch, workers   for predictions
--   training_only      true: without predictions, even where there is a model                          (false)
--   live               of a training that runs: seconds after which the browser loads the page again; nothing is
--                      predicted                                                                         (nil)
--   ended              true: the training's process has ended, whatever its record says                (false)
-- The figures go into figures.json under the last part of `data`, for lurcher compare. Returns the page's path. Raises
-- where the folder is not a run's or the images are missing.
function report.write(folder, o)
  o = o or {}
  local path = type(folder) == "table" and folder.path or folder
  local page = { record = record_of.read(path), mistakes = o.mistakes or 24, maps = o.maps or 8, device = o.device,
    refresh = o.live }
  if o.ended and page.record.training.state == "running" then page.state = "stopped" end
  local is_whole = not o.live and not o.training_only
    and (not o.ended or lfs.attributes(page.record.path .. "/model.safetensors"))
  if is_whole then evaluate(page, o) end
  local content = { summary(page) }
  for _, section in ipairs(sections) do content[#content + 1] = section(page) end
  content = { header(page, content), content }
  local out = report.page_path(page.record.path, o)
  local ok, message = lurcher.write_file(out, html.page(page.record.name, content, nil, page.refresh))
  if not ok then error(message, 0) end
  return out
end

return report
