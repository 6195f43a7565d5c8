---@meta
-- schedules.lua - learning rates by epoch, require "lurcher.schedules"; see lurcher.lua for the conventions.

---Learning rates as functions of the epoch (from 0), for on.schedule. A function of your own will do, too.
---
---    local on, schedules = require "lurcher.callbacks", require "lurcher.schedules"
---    fit(run, train, { epochs = 30, on.schedule(schedules.cosine{ lr = 0.1, epochs = 30, warmup = 3 }) })
---@class lurcher.schedules
local schedules = {}

---@alias lurcher.schedule fun(epoch: integer): number

---The same learning rate in every epoch: `schedules.constant(1e-3)`.
---@param lr number at least 0
---@return lurcher.schedule
function schedules.constant(lr) end

---One learning rate per epoch, the last of which holds from then on: `schedules.list{ 1e-4, 1e-4, 1e-5 }`.
---@param rates number[] each at least 0
---@return lurcher.schedule
function schedules.list(rates) end

---@class lurcher.step_options
---@field lr number first learning rate, at least 0
---@field factor? number what it is multiplied by, at least 0; default 0.1
---@field every? integer epochs between two multiplications, at least 1; default 10

---The learning rate times a factor after every `every` epochs: `schedules.step{ lr = 0.1, factor = 0.1, every = 10 }`.
---@param options lurcher.step_options
---@return lurcher.schedule
function schedules.step(options) end

---@class lurcher.exponential_options
---@field lr number first learning rate, at least 0
---@field factor? number what it is multiplied by after each epoch, at least 0; default 0.94

---The learning rate times a factor after each epoch: `schedules.exponential{ lr = 0.1, factor = 0.94 }`.
---@param options lurcher.exponential_options
---@return lurcher.schedule
function schedules.exponential(options) end

---@class lurcher.cosine_options
---@field lr number largest learning rate, at least 0
---@field epochs integer epochs until the smallest, more than warmup
---@field min? number smallest learning rate, at least 0; default 0
---@field warmup? integer epochs of linear rise before; default 0

---Half a cosine after a linear rise (Loshchilov and Hutter, SGDR, 2016, without restarts):
---`schedules.cosine{ lr = 0.1, epochs = 30, warmup = 3 }`.
---@param options lurcher.cosine_options
---@return lurcher.schedule
function schedules.cosine(options) end

---The original's trick_tune.py: ten epochs, the first two at lr, then falling to a hundredth of it with one rise
---between: `schedules.trick(1e-4)`.
---@param lr? number at least 0; default 1e-4
---@return lurcher.schedule
function schedules.trick(lr) end
