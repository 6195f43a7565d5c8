---@meta
-- siamese.lua - require "lurcher.siamese"; see lurcher.lua for the conventions.

---The original's multi-loss model (froze_fine_tune.py). Two images go through one backbone; each is
---classified (ctg_out_1, ctg_out_2), and so is the pair, as of one class or of two (bin_out), from the squared
---difference of their features (the idea is from person re-identification, Zheng, Zheng and Yang, 2016).
---The backbone runs once per distinct image of a batch; `left` and `right` are row numbers of its output:
---
---    image (n h w c) -> backbone -> features (n d) -> rows left, right -> l, r (b d)
---    ctg_out_1 = softmax(dense(dropout(l)))    ctg_out_2 = softmax(dense(dropout(r)))
---    bin_out = softmax(dense((l - r)^2)): index 0 different, 1 same
---
---With towers the backbone is applied to two inputs, img_1 and img_2, as in the original: the same results on the same
---pairs, but an image is computed as often as it occurs.
---@class lurcher.siamese
---@field outputs string[] "ctg_out_1", "ctg_out_2", "bin_out"
---@field pairings string[] the ways to draw the pairs of a batch
local siamese = {}
---The model of pairs on a backbone that ends in a vector (d): `siamese.model(backbone, { classes = 100 })`.
---@param backbone lurcher.model
---@param options { classes: integer, dropout?: number, towers?: boolean } dropout: default 0.5; towers: default false
---@return lurcher.model
function siamese.model(backbone, options) end
---The backbone of a model of pairs, sharing its layers.
function siamese.backbone(model) end
---The former way to split a model of pairs: frozen.split of its input "image"; nil for towers.
function siamese.split(model) end
---The classifier inside a model of pairs: one image in, class probabilities out.
function siamese.classifier(model) end
---Freezes the backbone's layers below Keras's index `from`, and lets the others and the heads learn. Prints a line
---where there are no others.
function siamese.tune_from(model, from) end
---Targets of a batch of pairs, for loaders; mixed where images were mixed (batch.target, n x classes).
function siamese.targets(batch) end
---@class lurcher.pair_options
---@field pairs? "swap"|"random"|"balanced"|"all" swap: the original's generator, samplers.batch_swap; random: the same
--- without swapped batches; balanced: every image on the left once per epoch, half of the pairs of one class; all: of
--- batch / 4 classes x 4 images every pair of one class and as many others
---@field batch? integer pairs per batch
---@field seed? integer
---@field steps? integer batches per epoch, of swap and random
---@field towers? boolean images on the left as img_1, those on the right as img_2; default false

---A sampler of pairs: `siamese.sampler(set, { pairs = "balanced", batch = 64, seed = 1 })`.
---@param set lurcher.dataset
---@param options lurcher.pair_options
---@return lurcher.sampler
function siamese.sampler(set, options) end
---The same as backbone.
function siamese.trunk(model) end
