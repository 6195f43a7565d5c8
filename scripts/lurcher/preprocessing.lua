--- lurcher.reading: how a file's image becomes a network's: size, filter of the resize, range of the values. It is
-- decided where a model is made, saved with the model, and the same wherever the model is used from then on.
-- The founding code resized by nearest neighbour and divided by 255 in every recipe (keras.md sections 0, 1 and 10),
-- though the published weights expect values from -1 to 1: era 2017 does that, today's reads what the weights expect.
-- What is random about an image is lurcher.augmentations'.
--
--     local how = reading.new(o)                            -- o.size, o.era
--     data.loader{ set, size = how.size, resize = how.resize, preprocess = how.preprocess }
--     run:save(path, lurcher.json.encode(reading.about(how, classes, folder.settings)))
--     local how = reading.saved(about)                      -- of a model that was saved so

local reading = {}

--- For the images of a new model. Options: size, era ("current", or "2017").
function reading.new(o)
  local was_then = o.era == "2017"
  return { size = o.size, resize = was_then and "nearest" or "bilinear", preprocess = was_then and "rescale" or "tf" }
end

--- For the images of a model that was saved with `about`.
function reading.saved(about)
  local height, width = math.tointeger(about.size[1]), math.tointeger(about.size[2])
  return { size = height == width and height or { height, width }, resize = about.resize,
    preprocess = about.preprocess }
end

--- What a recipe saves with a model, for those that use it: `how` its images are read, its classes, and the settings
-- of the run that trained it.
function reading.about(how, classes, settings)
  return { recipe = settings.recipe, classes = classes, size = { how.size, how.size }, resize = how.resize,
    preprocess = how.preprocess, settings = settings }
end

return reading
