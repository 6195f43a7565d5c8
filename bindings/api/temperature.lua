---@meta
-- temperature.lua - require "lurcher.temperature"; see lurcher.lua for the conventions.

---Temperature scaling, which makes a classifier's probabilities match its accuracy. Label
---smoothing, mixup and few epochs make a classifier underconfident, many epochs overconfident. One number T, fitted on
---images that it has not learnt from, corrects that: softmax(z / T) for logits z (Guo, Pleiss, Sun and Weinberger, "On
---calibration of modern neural networks", ICML 2017). The order of the classes, and with it top-1, stays.
---
---    local t = temperature.fit(probabilities, ids)      -- of validation images
---    temperature.apply(model:layer "predictions", t)
---@class lurcher.temperature
local temperature = {}
---The T of least log-loss. probabilities: n x c, of a softmax; their logarithms are its logits plus a constant per
---row, which a softmax cancels. ids: i32 n, from 0. The log-loss is convex in 1 / T, so that golden-section search
---(Kiefer, 1953) finds its minimum.
function temperature.fit(probabilities, ids) end
---Divides the logits of a layer with a softmax by t: divides its kernel and bias, permanently.
function temperature.apply(layer, t) end
