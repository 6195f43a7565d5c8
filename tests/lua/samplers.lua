--- Tests of lurcher.samplers: each epoch has every picture once, in an order that seed and epoch alone decide.
local harness = require "harness"
local samplers = require "lurcher.samplers"
local test, raises = harness.test, harness.raises

--- The batches of an epoch as one text, and how often each picture was drawn.
local function draw(sampler, epoch)
  local lines, counts = {}, {}
  for picks in sampler(epoch) do
    lines[#lines + 1] = table.concat(picks, " ")
    for _, pick in ipairs(picks) do counts[pick] = (counts[pick] or 0) + 1 end
  end
  return table.concat(lines, "|"), counts
end

test("sequential: in order, the last batch short or left out", function()
  assert(draw(samplers.sequential{ 7, batch = 3 }, 0) == "1 2 3|4 5 6|7")
  assert(draw(samplers.sequential{ 7, batch = 3, drop_last = true }, 0) == "1 2 3|4 5 6")
end)

test("shuffled: every picture once, another order each epoch and seed, the same again", function()
  local sampler = samplers.shuffled{ 100, batch = 32, seed = 7 }
  local first, counts = draw(sampler, 0)
  for i = 1, 100 do assert(counts[i] == 1, i) end
  assert(draw(sampler, 0) == first and draw(samplers.shuffled{ 100, batch = 32, seed = 7 }, 0) == first)
  assert(draw(sampler, 1) ~= first and draw(samplers.shuffled{ 100, batch = 32, seed = 8 }, 0) ~= first)
  assert(draw(samplers.shuffled{ 5, batch = 9 }, 3):gsub("[^ ]", "") == "    ")
end)

test("shuffled: every place is as likely for every picture", function()
  local sampler, hits = samplers.shuffled{ 8, batch = 8, seed = 1 }, {}
  local epochs = 4000
  for epoch = 0, epochs - 1 do
    local order = sampler(epoch)()
    for place, pick in ipairs(order) do hits[place * 8 + pick] = (hits[place * 8 + pick] or 0) + 1 end
  end
  local chi_square = 0
  for place = 1, 8 do
    for pick = 1, 8 do chi_square = chi_square + (hits[place * 8 + pick] - epochs / 8) ^ 2 / (epochs / 8) end
  end
  assert(chi_square < 85.4, chi_square) -- 49 degrees of freedom: exceeded once in 1000 fair shuffles
end)

test("samplers: misuse", function()
  raises("samplers.shuffled: number of pictures expected first", samplers.shuffled, { batch = 3 })
  raises("bad option 'batch' to 'samplers.sequential'", samplers.sequential, { 5, batch = 0 })
end)
