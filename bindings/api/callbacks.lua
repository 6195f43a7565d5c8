---@meta
-- callbacks.lua - what fit calls between steps and epochs, require "lurcher.callbacks"; see lurcher.lua for the
-- conventions.

---Callbacks for fit, in the list part of its options. Your own is a table of methods: see lurcher.callback. `monitor`
---names a log: smaller is better, but for names with "acc" in them. `era = "2017"` counts as Keras 2.0.6 did.
---
---    local on = require "lurcher.callbacks"
---    fit(run, train, { epochs = 30, valid = valid, on.early_stop{ patience = 3 }, on.csv "history.csv",
---      on.checkpoint{ "dog-{epoch:02d}-{val_acc:.2f}.safetensors", every = 2 } })
---@class lurcher.callbacks
local on = {}

---@class lurcher.early_stop_options
---@field monitor? string log that is watched; default "val_loss"
---@field patience? integer epochs without improvement before training ends; default 0
---@field min_delta? number least change that counts as an improvement; default 0
---@field restore_best? boolean|string default false; true: puts the best epoch's weights back at the end; a path: the
--- same through a checkpoint there, which a resumed training also has
---@field era? "2017" stops after patience + 1 epochs, as Keras 2.0.6

---Ends training after `patience` epochs without improvement: `on.early_stop{ patience = 3, restore_best = true }`.
---@param options? lurcher.early_stop_options
---@return lurcher.callback
function on.early_stop(options) end

---@class lurcher.best_options
---@field monitor? string log that is watched; default "val_loss"
---@field min_delta? number least change that counts as an improvement; default 0
---@field path? string default: weights are kept in memory; a path: in a checkpoint there, which a resumed training also
--- has

---Puts the best epoch's weights back at the end, without early stopping: `on.best{ monitor = "val_acc" }`.
---@param options? lurcher.best_options
---@return lurcher.callback
function on.best(options) end

---@class lurcher.ema_options
---@field [1] number the same as decay
---@field decay? number weight of the old average at each step, from 0 to 1, 1 excluded; default 0.999
---@field warmup? number after step t the decay is at most (1 + t) / (warmup + t); 0: no such limit; default 10

---Keeps an exponential moving average of the weights, which is validated, kept as the best, and left in the model at
---the end: `on.ema{ decay = 0.9999 }`. A resumed training gives the same bits.
---@param options? number|lurcher.ema_options
---@return lurcher.callback
function on.ema(options) end

---@class lurcher.nan_guard_options
---@field restore? string default: the weights from before the step come back; a path: the checkpoint there does, with
--- the optimizer's state, if it can be read
---@field every? integer steps between two checks of the weights, at least 1; default 1
---@field out? table object with write that the reason is written to; default io.stderr

---Ends training at the first loss or weight that is not finite, and names the layer where that began. Put it before
---on.checkpoint: `on.nan_guard()`.
---@param options? lurcher.nan_guard_options
---@return lurcher.callback
function on.nan_guard(options) end

---@class lurcher.reduce_lr_options
---@field monitor? string log that is watched; default "val_loss"
---@field factor? number what the learning rate is multiplied by, between 0 and 1; default 0.1
---@field patience? integer epochs without improvement before that; default 10
---@field min_delta? number least change that counts as an improvement; default 0.0001
---@field cooldown? integer epochs to wait after a reduction; default 0
---@field min_lr? number learning rate that it is not reduced below; default 0
---@field era? "2017" first reduces after patience + 1 epochs, as Keras 2.0.6

---Multiplies the learning rate by a factor after `patience` epochs without improvement: `on.reduce_lr{ factor = 0.5,
---patience = 3 }`.
---@param options? lurcher.reduce_lr_options
---@return lurcher.callback
function on.reduce_lr(options) end

---@class lurcher.checkpoint_options
---@field [1] string pattern of the file's name: {epoch:02d}, and any log, {val_acc:.2f}
---@field every? integer epochs between two checkpoints; default 1
---@field steps? integer also after every so many steps; default 0, never
---@field best_only? boolean only where `monitor` improved; default false
---@field monitor? string log that best_only watches; default "val_loss"
---@field interrupted? boolean also when Ctrl-C stops training, unless best_only; default true
---@field era? "2017" epochs in the name count from 0, as in Keras 2.0.6; default: from 1

---Writes a checkpoint that fit's option resume continues from, bit for bit:
---`on.checkpoint{ "dog-{epoch:02d}-{val_acc:.2f}.safetensors", best_only = true }`.
---@param options string|lurcher.checkpoint_options
---@return lurcher.callback
function on.checkpoint(options) end

---Sets the learning rate at the beginning of each epoch: `on.schedule(function(epoch) return 0.1 / (epoch + 1) end)`,
---`on.schedule(schedules.cosine{ lr = 0.1, epochs = 30 })`. lurcher.schedules has more.
---@param f fun(epoch: integer): number epochs count from 0
---@return lurcher.callback
function on.schedule(f) end

---@class lurcher.csv_options
---@field [1] string name of the file

---Writes the history as CSV after each epoch: `on.csv "history.csv"`. The file is replaced, never half-written.
---@param options string|lurcher.csv_options
---@return lurcher.callback
function on.csv(options) end

---@class lurcher.tensorboard_options
---@field [1] string folder of the event files
---@field steps? integer also the results of every so many steps; default 0, none
---@field images? integer so many images of the last batch, as the network saw them; default 0
---@field histograms? boolean histograms of the weights that learn; default false
---@field gradients? boolean and of the last step's gradients; default false
---@field every? integer epochs between two of these images and histograms; default 1
---@field hparams? table<string, number|boolean|string> for TensorBoard's table of hyperparameters

---Writes what `tensorboard --logdir DIR` shows: `on.tensorboard{ "DIR", histograms = true }`. Losses, metrics and the
---learning rate by epoch, with the names of Keras's callback.
---@param options string|lurcher.tensorboard_options
---@return lurcher.callback
function on.tensorboard(options) end

---@class lurcher.progress_options
---@field every? number seconds between two lines where the output is not a terminal; default 30
---@field out? table object with write and flush; default io.stdout
---@field terminal? boolean whether that is a terminal; default: checked
---@field columns? fun(): integer gives the terminal's width; default: it is asked before every line

---Progress lines with images per second and remaining time; fit adds them itself: `on.progress{ every = 60 }`.
---@param options? lurcher.progress_options
---@return lurcher.callback
function on.progress(options) end
