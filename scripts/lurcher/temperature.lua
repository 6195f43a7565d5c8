--- lurcher.temperature: temperature scaling, which makes a classifier's probabilities match its accuracy. Label
-- smoothing, mixup and few epochs make a classifier underconfident, many epochs overconfident. One number T, fitted on
-- images that it has not learnt from, corrects that: softmax(z / T) for logits z (Guo, Pleiss, Sun and Weinberger, "On
-- calibration of modern neural networks", ICML 2017). The order of the classes, and with it top-1, stays.
--
--     local t = temperature.fit(probabilities, ids)      -- of validation images
--     temperature.apply(model:layer "predictions", t)

local lurcher = require "lurcher"

local temperature = {}

-- T is searched between 1 / LIMIT and LIMIT, with this relative precision.
local LIMIT, PRECISION = 20, 1e-3

--- The T of least log-loss. probabilities: n x c, of a softmax; their logarithms are its logits plus a constant per
-- row, which a softmax cancels. ids: i32 n, from 0. The log-loss is convex in 1 / T, so that golden-section search
-- (Kiefer, 1953) finds its minimum.
function temperature.fit(probabilities, ids)
  local logits = probabilities:maximum(1e-30):log()
  local function loss(u) return lurcher.log_loss((logits * math.exp(-u)):softmax(), ids) end
  local golden, low, high = (math.sqrt(5) - 1) / 2, -math.log(LIMIT), math.log(LIMIT)
  local left, right = high - golden * (high - low), low + golden * (high - low)
  local at_left, at_right = loss(left), loss(right)
  while high - low > PRECISION do
    if at_left <= at_right then
      high, right, at_right = right, left, at_left
      left = high - golden * (high - low)
      at_left = loss(left)
    else
      low, left, at_left = left, right, at_right
      right = low + golden * (high - low)
      at_right = loss(right)
    end
  end
  return math.exp((low + high) / 2)
end

--- Divides the logits of a layer with a softmax by t: divides its kernel and bias, permanently.
function temperature.apply(layer, t)
  for _, weight in pairs(layer:weights()) do weight:copy(weight:to "cpu" / t) end
end

return temperature
