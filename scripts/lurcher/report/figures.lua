--- lurcher.report.figures: the figures of probabilities and true classes: rates, a row per class, the worst mistakes,
-- the most confused pairs of classes. Numbers in, tables out; nothing is shown here.

local lurcher = require "lurcher"

local figures = {}

--- One row per class from a confusion matrix (rows truth, columns prediction): name, count, right, precision, recall,
-- f1 (nil where nothing was predicted as the class, or nothing is of it), taken (the class that it is most often taken
-- for, or nil) and taken_count.
local function class_rows(matrix, classes)
  local rows, predicted = {}, {}
  for j = 1, #classes do
    predicted[j] = 0
    for i = 1, #classes do predicted[j] = predicted[j] + matrix[i][j] end
  end
  for i, name in ipairs(classes) do
    local row = { class = i, name = name, count = 0, right = matrix[i][i], taken_count = 0 }
    for j, count in ipairs(matrix[i]) do
      row.count = row.count + count
      if i ~= j and count > row.taken_count then row.taken, row.taken_count = j, count end
    end
    if predicted[i] > 0 then row.precision = row.right / predicted[i] end
    if row.count > 0 then row.recall = row.right / row.count end
    if row.count + predicted[i] > 0 then row.f1 = 2 * row.right / (row.count + predicted[i]) end
    rows[i] = row
  end
  return rows
end

--- Every pair of classes with mistakes between them, most first: { a, b, count, a_as_b, b_as_a }.
local function confused_pairs(matrix)
  local pairs_found = {}
  for a = 1, #matrix do
    for b = a + 1, #matrix do
      local count = matrix[a][b] + matrix[b][a]
      if count > 0 then
        pairs_found[#pairs_found + 1] = { a = a, b = b, count = count, a_as_b = matrix[a][b], b_as_a = matrix[b][a] }
      end
    end
  end
  table.sort(pairs_found, function(p, q)
    if p.count ~= q.count then return p.count > q.count end
    if p.a ~= q.a then return p.a < q.a end
    return p.b < q.b
  end)
  return pairs_found
end

local BINS <const> = 15

--- Calibration: whether a confidence (the highest probability of a row) is the share of right predictions among those
-- of that confidence. Bins are of equal width, bin m of M for confidences in ((m - 1) / M, m / M]; ece, the expected
-- calibration error, is the sum over bins of count / n * |accuracy - mean confidence|, with M = 15: Guo et al., "On
-- calibration of modern neural networks", ICML 2017, section 2. Returns { ece =, bins = { { low, high, count, accuracy,
-- confidence }, ... } }; accuracy and confidence are nil in an empty bin.
function figures.calibration(predictions)
  local bins, ece = {}, 0
  for m = 1, BINS do bins[m] = { low = (m - 1) / BINS, high = m / BINS, count = 0, right = 0, sum = 0 } end
  for _, entry in ipairs(predictions) do
    local bin = bins[math.max(1, math.min(BINS, math.ceil(entry.p_predicted * BINS)))]
    bin.count, bin.sum = bin.count + 1, bin.sum + entry.p_predicted
    if entry.predicted == entry.truth then bin.right = bin.right + 1 end
  end
  for _, bin in ipairs(bins) do
    if bin.count > 0 then
      bin.accuracy, bin.confidence = bin.right / bin.count, bin.sum / bin.count
      ece = ece + bin.count / #predictions * math.abs(bin.accuracy - bin.confidence)
    end
  end
  return { ece = ece, bins = bins }
end

--- Accuracy against rejection: { { coverage, accuracy, confidence }, ... }, where predictions of at least that
-- confidence, a share `coverage` of all, are kept; the most confident first. Equal confidences are kept or rejected
-- together, so that no order of images matters.
function figures.coverage(predictions)
  local sorted, list, right = table.move(predictions, 1, #predictions, 1, {}), {}, 0
  table.sort(sorted, function(a, b) return a.p_predicted > b.p_predicted end)
  for i, entry in ipairs(sorted) do
    if entry.predicted == entry.truth then right = right + 1 end
    local next_one = sorted[i + 1]
    if not next_one or next_one.p_predicted < entry.p_predicted then
      list[#list + 1] = { coverage = i / #sorted, accuracy = right / i, confidence = entry.p_predicted }
    end
  end
  return list
end

--- scores: n x classes; ids: the true classes from 1; rows: for each row of scores, the image's number in its set.
-- Returns { count, top_1, top_5 (nil for fewer than 6 classes), log_loss, matrix, classes = rows of classes, pairs,
-- predictions = per row { row, truth, predicted, p_predicted, p_truth }, mistakes = the wrong ones, worst first,
-- calibration, coverage }.
function figures.of(scores, ids, rows, classes)
  local best, values, zero_based = scores:argmax(2):totable(), scores:totable(), { dtype = "i32" }
  for i, id in ipairs(ids) do zero_based[i] = id - 1 end
  local truth = lurcher.tensor(zero_based)
  local matrix = lurcher.confusion(scores, truth):totable()
  local found = { count = #ids, matrix = matrix, predictions = {}, mistakes = {},
    top_1 = lurcher.top_k(scores, truth, 1),
    top_5 = #classes > 5 and lurcher.top_k(scores, truth, 5) or nil, log_loss = lurcher.log_loss(scores, truth),
    classes = class_rows(matrix, classes), pairs = confused_pairs(matrix) }
  local function number(p) return p == p and p or 0 end -- NaN counts as 0: it is no confidence, and sorts nowhere
  for i, id in ipairs(ids) do
    local class = best[i] + 1
    local entry = { row = rows[i], truth = id, predicted = class, p_predicted = number(values[i][class]),
      p_truth = number(values[i][id]) }
    found.predictions[i] = entry
    if class ~= id then found.mistakes[#found.mistakes + 1] = entry end
  end
  table.sort(found.mistakes, function(a, b)
    if a.p_truth ~= b.p_truth then return a.p_truth < b.p_truth end
    return a.row < b.row
  end)
  found.calibration, found.coverage = figures.calibration(found.predictions), figures.coverage(found.predictions)
  return found
end

return figures
