--- predict.lua - classifies images with a trained model, and prints the most probable classes
-- Images are files, folders with everything below them, or lists of both. The model is that of a run folder of any
-- recipe that trains a classifier. Results go to standard output, or as CSV into a file; progress and what cannot be
-- read to the error stream.

local lurcher = require "lurcher"
local evaluation, image_paths = require "lurcher.recipe.evaluation", require "lurcher.recipe.image_paths"
local options, prediction = require "lurcher.recipe.options", require "lurcher.prediction"

local spec = {
  name = "predict",
  summary = "Classifies images with the model of a run, and prints the most probable classes of each. Folders are "
    .. "searched for JPEG and PNG files at any depth; - reads paths from standard input, a line each.",
  { "top", "integer", default = 5, min = 1, help = "number of classes to print for each image" },
  { "csv", "file", value = "FILE",
    help = "file of the results instead of printing them: a line per image, with the probability of every class" },
  { "json", "flag", help = "print a JSON object per image, a line each" },
  { "list", "path", value = "FILE", help = "file of further paths, a line each; - for standard input" },
  { "output", "string", value = "NAME", help = "output to take the predictions from, for a model of several" },
  { "exif", "flag", default = function() return nil end, default_text = "as in the model's training",
    help = "turn images as their EXIF orientation asks" },
  { "tta", "integer", default = 1, min = 1, max = prediction.most_views,
    help = "number of views per image to average, 1 to 6: as it is, mirrored, both enlarged, both reduced" },
  { "batch", "integer", default = 32, min = 1, max = 65536, help = "images per step; no prediction depends on it" },
  { "device", "device", default = "auto" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that decode images" },
  arguments = { name = "RUN PATH", min = 1,
    help = "a run folder or its model.safetensors, then images, folders, or - for a list on standard input" },
  notes = "The exit code is 1 if an image cannot be read; the others are classified all the same.",
}

--- Writes what cannot be read to the error stream. is_read: the numbers of the images that were read, as a set.
local function name_unread(paths, is_read)
  local count = 0
  for i, path in ipairs(paths) do
    if not is_read[i] then
      count = count + 1
      local _, why = lurcher.image.load(path)
      why = (why or "it cannot be read"):gsub("^" .. path:gsub("%p", "%%%0") .. ": ", "")
      io.stderr:write(("cannot be read: %s: %s\n"):format(lurcher.visible(path), lurcher.visible(why)))
    end
  end
  if count > 0 then io.stderr:write(("%d of %d images could not be read\n"):format(count, #paths)) end
  return count
end

--- The most probable classes of a row of probabilities, { { class, probability }, ... }.
local function best_of(row, classes, count)
  local order = {}
  for i = 1, #classes do order[i] = i end
  table.sort(order, function(a, b)
    if row[a] ~= row[b] then return row[a] > row[b] end
    return a < b
  end)
  local best = {}
  for k = 1, math.min(count, #order) do best[k] = { classes[order[k]], row[order[k]] } end
  return best
end

local function print_text(path, best)
  if #best == 1 then return print(lurcher.format("%s: %s %.4f", path, best[1][1], best[1][2])) end
  print(path)
  for _, entry in ipairs(best) do print(lurcher.format("  %.4f  %s", entry[2], entry[1])) end
end

local function print_json(path, best)
  local list = {}
  for k, entry in ipairs(best) do list[k] = { class = entry[1], probability = entry[2] } end
  print(lurcher.json.encode{ image = path, predictions = lurcher.json.array(list) })
end

--- CSV: image, the most probable class, its probability, and the probability of every class.
local function write_csv(file, paths, rows, values, classes)
  local header = { "image", "class", "probability" }
  for _, class in ipairs(classes) do header[#header + 1] = evaluation.csv_field(class) end
  local lines = { table.concat(header, ",") }
  for i, row in ipairs(rows) do
    local best = best_of(values[i], classes, 1)[1]
    local cells = { evaluation.csv_field(paths[row]), evaluation.csv_field(best[1]), lurcher.format("%.6g", best[2]) }
    for _, value in ipairs(values[i]) do cells[#cells + 1] = lurcher.format("%.6g", value) end
    lines[#lines + 1] = table.concat(cells, ",")
  end
  assert(lurcher.write_file(file, table.concat(lines, "\n") .. "\n"))
  print(("%s: %d images"):format(file, #rows))
end

--- Probabilities (n x classes) and numbers of the images that can be read; nil where none can.
local function predicted(model, metadata, set, o)
  local how = setmetatable({ stream = io.stderr, output = prediction.output(model, metadata.classes, o.output) },
    { __index = o })
  if o.exif ~= nil then metadata.exif = o.exif end
  local good, scores, rows = pcall(prediction.predict, model, set, metadata, how)
  if good then return scores / scores:sum(2):view(-1, 1), rows end
  if not tostring(scores):find "no image could be read$" then error(scores, 0) end
end

local function main(o)
  local run = table.remove(o.arguments, 1)
  local model, metadata = prediction.open_model(run)
  local paths = image_paths.of(o.arguments, { o.list })
  local scores, rows = predicted(model, metadata, image_paths.set(paths), o)
  local values, is_read = scores and scores:totable() or {}, {}
  for _, row in ipairs(rows or {}) do is_read[row] = true end
  for i, row in ipairs(not o.csv and rows or {}) do
    local show = o.json and print_json or print_text
    show(paths[row], best_of(values[i], metadata.classes, o.top))
  end
  if o.csv then write_csv(o.csv, paths, rows or {}, values, metadata.classes) end
  io.stdout:flush()
  return name_unread(paths, is_read) > 0 and 1 or 0
end

function spec.adjust(values)
  if values.csv and values.json then return nil, "one of --csv and --json is expected" end
  return values
end

options.main(spec, arg, main)
