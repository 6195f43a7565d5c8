--- lurcher.siamese: the original's multi-loss model (froze_fine_tune.py). Two images go through one backbone; each is
-- classified (ctg_out_1, ctg_out_2), and so is the pair, as of one class or of two (bin_out), from the squared
-- difference of their features (the idea is from person re-identification, Zheng, Zheng and Yang, 2016).
-- The backbone runs once per distinct image of a batch; `left` and `right` are row numbers of its output:
--
--     image (n h w c) -> backbone -> features (n d) -> rows left, right -> l, r (b d)
--     ctg_out_1 = softmax(dense(dropout(l)))    ctg_out_2 = softmax(dense(dropout(r)))
--     bin_out = softmax(dense((l - r)^2)): index 0 different, 1 same
--
-- With towers the backbone is applied to two inputs, img_1 and img_2, as in the original: the same results on the same
-- pairs, but an image is computed as often as it occurs.
-- This file builds models, and draws pairs and targets; recipes decide on which images they are trained, and for how
-- long.

local lurcher = require "lurcher"
local frozen, samplers = require "lurcher.frozen", require "lurcher.samplers"
local nn, data = lurcher.nn, lurcher.data

local siamese = {}

siamese.outputs = { "ctg_out_1", "ctg_out_2", "bin_out" }

--- The model of pairs on a backbone that ends in a vector (d). Options: classes, dropout (0.5), towers (false).
function siamese.model(backbone, options)
  local rate = options.dropout or 0.5
  local left, right
  if options.towers then
    local shape = backbone:node(backbone.inputs[1]).shape
    left = backbone(nn.input{ name = "img_1", shape = shape })
    right = backbone(nn.input{ name = "img_2", shape = shape })
  else
    local features = backbone:node(backbone.outputs[1])
    left, right = nn.gather(features, nn.index "left"), nn.gather(features, nn.index "right")
  end
  local function category(x, k)
    local dropped = nn.dropout{ rate, name = "dropout_" .. k }(x)
    return nn.dense{ options.classes, activation = "softmax", name = "ctg_out_" .. k }(dropped)
  end
  local difference = nn.square{ name = "square" }(left - right)
  return nn.model{ ctg_out_1 = category(left, 1), ctg_out_2 = category(right, 2),
    bin_out = nn.dense{ 2, activation = "softmax", name = "bin_out" }(difference) }
end

--- The layer whose output is the backbone's features: the input of the first category head's dropout.
local function features_of(model)
  local definition = lurcher.json.decode(model:json())
  local function input_of(node) return definition.nodes[node.inputs[1] + 1] end
  for _, node in ipairs(definition.nodes) do
    local layer = definition.layers[node.layer + 1]
    if layer.name == "dropout_1" then
      local from = input_of(node)
      if definition.layers[from.layer + 1].kind == "gather" then from = input_of(from) end
      return definition.layers[from.layer + 1].name
    end
  end
  error("a model of pairs expected: there is no layer 'dropout_1' in this one", 0)
end

--- The backbone of a model of pairs, sharing its layers.
function siamese.backbone(model) return nn.model(model:node(features_of(model))) end

-- Names of the last release.
siamese.trunk = siamese.backbone
function siamese.split(model) return model.inputs[1] ~= "img_1" and frozen.split(model, "image") or nil end

--- The classifier inside a model of pairs: one image in, class probabilities out.
function siamese.classifier(model)
  local x = model:layer "dropout_1"(model:node(features_of(model)))
  return nn.model{ ctg_out_1 = model:layer "ctg_out_1"(x) }
end

--- Freezes the backbone's layers below Keras's index `from`, and lets the others and the heads learn. Prints a line
-- where there are no others.
function siamese.tune_from(model, from)
  local layers = siamese.backbone(model).layers
  model:unfreeze()
  for i, layer in ipairs(layers) do layer.trainable = i > from end
  if from >= #layers then
    print(("the backbone has %d layers: none of them learns (--tune-from %d)"):format(#layers, from))
  end
end

--- Targets of pairs: for class ids, ids of 0 (different) and 1 (same); for mixed classes (b x classes, rows that sum to
-- 1), the probabilities that draws from both rows differ and agree, b x 2.
local function agreement(left, right)
  if #left.shape == 1 then return left:eq(right):cast "i32" end
  local count = left.shape[1]
  local same = (left * right):sum(2):view(1, count)
  return lurcher.concat{ 1 - same, same }:transpose()
end

--- Targets of a batch of pairs, for loaders; mixed where images were mixed (batch.target, n x classes).
function siamese.targets(batch)
  local left, right
  if batch.img_1 then
    left, right = batch.img_1_target or batch.img_1_class, batch.img_2_target or batch.img_2_class
  else
    local target = batch.target or batch.class
    left, right = target:select(batch.left), target:select(batch.right)
  end
  return { ctg_out_1 = left, ctg_out_2 = right, bin_out = agreement(left, right) }
end

--- A sampler of pairs for towers: the images on the left as img_1, those on the right as img_2.
local function towered(sampler)
  local object = { batches = sampler.batches, kind = sampler.kind }
  return setmetatable(object, { __call = function(_, ...)
    local draw = sampler(...)
    return function()
      local drawn = draw()
      if not drawn then return nil end
      local batch = { img_1 = {}, img_2 = {} }
      for i, row in ipairs(drawn.left) do
        batch.img_1[i], batch.img_2[i] = drawn.image[row], drawn.image[drawn.right[i]]
      end
      return batch
    end
  end })
end

--- Every pair of one class within a batch of P classes x K images, in both orders, and as many random pairs of two
-- classes, if there are two: P * K images in the backbone give P * K * (K - 1) positive pairs.
local function all_pairs(set, options)
  local base = samplers.pk{ set, classes = options.classes, images = options.images, seed = options.seed }
  return setmetatable({ batches = base.batches, kind = "all_pairs" }, { __call = function(_, epoch)
    local draw, random = base(epoch), data.random(options.seed ~ 0x70616972, epoch)
    return function()
      local picks = draw()
      if not picks then return nil end
      local left, right, k, count = {}, {}, options.images, #picks
      for i = 1, count do
        local first = (i - 1) // k * k
        for j = first + 1, first + k do
          if i ~= j then left[#left + 1], right[#right + 1] = i, j end
          if i ~= j and count > k then -- else there is one class
            left[#left + 1] = i
            right[#right + 1] = (first + k + random:int(count - k) - 1) % count + 1
          end
        end
      end
      return { image = picks, left = left, right = right }
    end
  end })
end

--- The ways to draw the pairs of a batch, for --pairs.
siamese.pairings = { "swap", "random", "balanced", "all" }

--- A sampler of pairs. Options: pairs ("swap": the original's generator, samplers.batch_swap; "random": the same
-- without swapped batches; "balanced": every image on the left once per epoch, half of the pairs of one class; "all":
-- of batch / 4 classes x 4 images every pair of one class and as many others), batch (64), seed, steps (batches per
-- epoch, of swap and random), towers (false).
function siamese.sampler(set, options)
  local sampler
  if options.pairs == "all" then
    local filled = 0
    for _, count in ipairs(set.counts) do filled = filled + (count > 0 and 1 or 0) end
    local classes = math.min(filled, math.max(2, options.batch // 4))
    sampler = all_pairs(set, { classes = classes, images = 4, seed = options.seed })
  elseif options.pairs == "balanced" then
    sampler = samplers.pairs{ set, batch = options.batch, positive = 0.5, seed = options.seed }
  else
    sampler = samplers.batch_swap{ set, batch = options.batch, seed = options.seed, steps = options.steps,
      swap = options.pairs ~= "random" }
  end
  return options.towers and towered(sampler) or sampler
end

return siamese
