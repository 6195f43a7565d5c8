--- A run that does not train but plays back given results, so that fit and callbacks can be tested exactly. A helper,
-- not a test file.
--
--     local run = fake_run{ train = { 2, 1 }, evaluate = { 0.5, 0.4 }, lr = 0.1 }
--
-- The i-th call of train or evaluate returns the i-th loss of its list, later calls the last one; the number of samples
-- is the batch's. full = true: every save fails as on a full disk.
local fake_run = {}
fake_run.__index = fake_run

local function at(list, i) return list[math.min(i, #list)] end

function fake_run:train(batch)
  self.iterations = self.iterations + 1
  return { loss = at(self.script.train or { 1 }, self.iterations), acc = 0.5, samples = batch.samples or 1 }
end

function fake_run:evaluate(batch)
  self.evaluations = self.evaluations + 1
  return { loss = at(self.script.evaluate or { 1 }, self.evaluations), acc = 0.25, samples = batch.samples or 1 }
end

function fake_run:save(path, extra)
  if self.script.full then return nil, path .. ": no space left on device", "EIO" end
  self.saved[#self.saved + 1] = path
  self.files[path] = { extra = extra, iterations = self.iterations, evaluations = self.evaluations }
  return true
end

function fake_run:restore(path)
  local file = self.files[path]
  if not file then return nil, path .. ": no such file", "EIO" end
  self.iterations, self.evaluations = file.iterations, file.evaluations
  return file.extra
end

return function(script)
  return setmetatable({ lr = script.lr or 1, iterations = 0, evaluations = 0, script = script, saved = {}, files = {},
    model = { outputs = { "predictions" }, layers = {} } }, fake_run)
end
