--- lurcher.prediction: what trained classifiers say about a set of images, for the recipes that test: class
-- probabilities, averaged over views of each image and over models, predictions as files, and scores.
-- It knows classifiers alone: one image in, a vector of class probabilities out.

local lfs = require "lfs"
local lurcher = require "lurcher"
local fixed_features, prefix = require "lurcher.fixed_features", require "lurcher.prefix"
local logs_of, ticker = require "lurcher.logs", require "lurcher.ticker"
local reading = require "lurcher.preprocessing"
local nn, data = lurcher.nn, lurcher.data

local prediction = {}

--- The classifier of a file or of a run folder, and what was saved with it: classes, and how its images are
-- read (lurcher.reading). Raises where there is none.
function prediction.open_model(path)
  if lfs.attributes(path, "mode") == "directory" then path = path .. "/model.safetensors" end
  local model, extra = nn.load(path)
  if not model then error(extra, 0) end
  local about = lurcher.json.decode(extra)
  if type(about) ~= "table" or type(about.classes) ~= "table" or type(about.size) ~= "table" then
    error(("'%s' has weights but no classes: expected a model.safetensors that a recipe wrote"):format(path), 0)
  end
  return model, about
end

--- The images of a folder; true where they have classes: where it has subfolders with names of `classes`.
function prediction.open_set(path, classes)
  local is_class = {}
  for _, name in ipairs(classes) do is_class[name] = true end
  if lfs.attributes(path, "mode") == "directory" then
    for name in lfs.dir(path) do
      if is_class[name] then return assert(data.folder{ path, classes = classes }), true end
    end
  end
  return assert(data.flat{ path }), false
end

--- Length of an output that is a vector of each sample, or nil.
local function length_of(model, definition, output)
  for _, entry in ipairs(definition.outputs) do
    if entry.name == output then
      local shape = model:node(definition.layers[definition.nodes[entry.node + 1].layer + 1].name).shape
      return #shape == 1 and shape[1] or nil
    end
  end
end

--- The output that tells classes: `name` where it is given, else ctg_out (of two backbones together), ctg_out_1, or the
-- first with a number for each class.
function prediction.output(model, classes, name)
  local definition, fits = lurcher.json.decode(model:json()), {}
  for _, output in ipairs(model.outputs) do
    if length_of(model, definition, output) == #classes then
      fits[#fits + 1], fits[output] = output, output
    end
  end
  local found = name and fits[name] or not name and (fits.ctg_out or fits.ctg_out_1 or fits[1])
  if found then return found end
  error(("the model has no output %s (there are: %s)"):format(name and ("'%s' of %d numbers, one a class"):format(name,
    #classes) or ("of %d numbers, one a class"):format(#classes), table.concat(model.outputs, ", ")), 0)
end

--- Views of an image for --tta, the first n of these: as it is, mirrored, both again 1.15 times as large, both 0.87
-- times as large. data.augment options; zoom factors are of what the image is divided by.
local views = {
  {}, { mirror = true },
  { zoom_min = 1 / 1.15, zoom_max = 1 / 1.15 }, { zoom_min = 1 / 1.15, zoom_max = 1 / 1.15, mirror = true },
  { zoom_min = 1.15, zoom_max = 1.15 }, { zoom_min = 1.15, zoom_max = 1.15, mirror = true },
}
prediction.most_views = #views

--- The data.augment of view k, or nil for the image as it is. A view is sampled as the image is resized.
local function view_of(k, resize)
  if not next(views[k]) then return nil end
  local changes = { interpolation = resize == "nearest" and resize or nil }
  for name, value in pairs(views[k]) do changes[name] = value end
  return data.augment(changes)
end

--- Loaders of the first `count` views, and the model that they feed: the frozen part's outputs from the cache where
-- there is one for it (o.cache), else images.
local function sources(model, set, about, o, count)
  local part = o.cache and o.cache ~= "none" and prefix.split(model, model.inputs[1])
  local common = reading.saved(about)
  common.batch, common.workers, common.device = o.batch or 32, o.workers, lurcher.device(o.device)
  local function options(k, more)
    for key, value in pairs(common) do more[key] = value end
    more[1], more.augment = set, view_of(k, about.resize)
    return more
  end
  local loaders = {}
  for k = 1, part and count or 0 do
    local fixed = part:load(options(k, fixed_features.settings(o, { views = 1, memory = 0, existing = o.existing })))
    if not fixed then break end -- no room: images it is
    loaders[k] = fixed:loader{ batch = common.batch, shuffle = false }
  end
  if part and #loaders == count then return loaders, part.head end
  for k = 1, count do loaders[k] = data.loader(options(k, { shuffle = false })) end
  return loaders, model
end

--- Probabilities (n x classes) of every image that can be read, in one view, and the images' numbers in order.
local function one_view(run, loader, output, tick)
  local scores, rows, expected = {}, {}, 0
  for batch in loader:epoch(0) do
    local read, good = batch.index:totable(), {}
    for i, index in ipairs(read) do
      expected = expected + 1
      if index + 1 == expected then -- else another image stands in for one that cannot be read
        good[#good + 1] = i
        rows[#rows + 1] = expected
      end
    end
    local given = {}
    for _, input in ipairs(run.model.inputs) do given[input] = batch[input] or batch.image end
    local probabilities = run:predict(given)[output]
    if #good > 0 then scores[#scores + 1] = #good == #read and probabilities or probabilities:select(good) end
    tick:count(tick.before + expected)
    if lurcher.interrupted() then error("interrupted", 0) end
  end
  tick.before = tick.before + expected
  if #rows == 0 then error("no image could be read", 0) end
  return lurcher.concat(scores), rows
end

--- Class probabilities (n x classes) of every image that can be read, the mean over `tta` views (1), and the
-- images' numbers in the same order. about: of open_model. Options: tta, batch, workers, device, output (name;
-- default: the model's first), cache, cache_store and cache_limit (see fixed_features.options; nil: nothing is kept),
-- existing (true: what is in the cache is taken, and nothing added).
function prediction.predict(model, set, about, o)
  local count, output = o.tta or 1, o.output or model.outputs[1]
  local loaders, learner = sources(model, set, about, o, count)
  local run <close> = learner:compile{ device = o.device }
  local tick = ticker{ label = "predicting", total = count * #set }
  tick.before = 0
  local sum, rows
  for k = 1, count do
    local scores, read = one_view(run, loaders[k], output, tick)
    sum, rows = sum and sum + scores or scores, read
  end
  local seconds = lurcher.time() - tick.started
  tick:finish(("predicted %d images%s in %s, %s"):format(#set, count > 1 and (" in %d views"):format(count) or "",
    logs_of.duration(seconds), ticker.rate(count * #set, seconds)))
  return sum / count, rows
end

--- "afghan/0a00bffa2c.jpg" -> "0a00bffa2c"
local function plain_name(name) return (name:match("[^/]*$"):gsub("%.[^.]*$", "")) end

--- Writes a line `class TAB image name` an image. name_of(name): what stands for an image's name (its last part
-- without extension). Says which images could not be read.
function prediction.write(path, scores, rows, set, classes, name_of)
  local best, lines = scores:argmax(2):totable(), {}
  for i, row in ipairs(rows) do
    lines[i] = ("%s\t%s\n"):format(classes[best[i] + 1], (name_of or plain_name)(set:name(row)))
  end
  assert(lurcher.write_file(path, table.concat(lines)))
  print(("predictions: %s (%d images)"):format(path, #rows))
  local is_read = {}
  for _, row in ipairs(rows) do is_read[row] = true end
  for i = 1, #rows < #set and #set or 0 do
    if not is_read[i] then print("  could not be read, left out: " .. set:path(i)) end
  end
end

--- A CSV field, quoted where it must be (RFC 4180).
local function field(text) return text:find '[",\n]' and '"' .. text:gsub('"', '""') .. '"' or text end

--- Writes the probabilities as CSV: a row an image, a column a class.
function prediction.write_probabilities(path, scores, rows, set, classes)
  local header = { "picture" }
  for i, name in ipairs(classes) do header[i + 1] = field(name) end
  local lines, values = { table.concat(header, ",") }, scores:totable()
  for i, row in ipairs(rows) do
    local cells = { field(set:name(row)) }
    for j, value in ipairs(values[i]) do cells[j + 1] = ("%.6g"):format(value) end
    lines[#lines + 1] = table.concat(cells, ",")
  end
  assert(lurcher.write_file(path, table.concat(lines, "\n") .. "\n"))
  print("probabilities: " .. path)
end

--- The confusion matrix: rows truth, columns prediction, by number; then the most frequent mistakes by name.
local function print_confusion(counts, classes)
  local matrix, mistakes, width = counts:totable(), {}, 0
  for _, name in ipairs(classes) do width = math.max(width, #name) end
  local head = {}
  for j = 1, #classes do head[j] = ("%4d"):format(j) end
  print "\nconfusion (rows: truth, columns: prediction)"
  print((" "):rep(width + 5) .. table.concat(head) .. "   right")
  for i, row in ipairs(matrix) do
    local cells, sum = {}, 0
    for j, count in ipairs(row) do
      cells[j] = count == 0 and "   ." or ("%4d"):format(count)
      sum = sum + count
      if i ~= j and count > 0 then mistakes[#mistakes + 1] = { count, classes[i], classes[j] } end
    end
    local share = sum > 0 and ("%6.1f %%"):format(100 * row[i] / sum) or ""
    print(("%3d %-" .. width .. "s %s%s"):format(i, classes[i], table.concat(cells), share))
  end
  table.sort(mistakes, function(a, b)
    if a[1] ~= b[1] then return a[1] > b[1] end
    return a[2] .. a[3] < b[2] .. b[3]
  end)
  if #mistakes > 0 then print "\nmost frequent mistakes" end
  for i = 1, math.min(8, #mistakes) do
    print(("%4d  %s taken for %s"):format(table.unpack(mistakes[i])))
  end
end

--- Prints how often and how surely a labelled set was told right. Returns { top_1, top_5, log_loss }; top_5 only of
-- more than 5 classes.
function prediction.score(scores, rows, set, classes)
  local ids = { dtype = "i32" }
  for i, row in ipairs(rows) do ids[i] = set:class(row) - 1 end
  ids = lurcher.tensor(ids)
  local results = { top_1 = lurcher.top_k(scores, ids, 1), log_loss = lurcher.log_loss(scores, ids) }
  print(("top-1 %.4f"):format(results.top_1))
  if #classes > 5 then
    results.top_5 = lurcher.top_k(scores, ids, 5)
    print(("top-5 %.4f"):format(results.top_5))
  end
  print(("log-loss %.4f"):format(results.log_loss))
  print_confusion(lurcher.confusion(scores, ids), classes)
  return results
end

return prediction
