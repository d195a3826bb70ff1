#include "trainer/score_window.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "common/status_macros.h"

namespace evilmoe {

ScoreWindow::ScoreWindow(int64_t capacity, double half_life)
    : half_life_(half_life), scores_W_(at::zeros({capacity}, at::kFloat)), count_1_(at::zeros({1}, at::kLong)) {
  EVILMOE_CHECK(capacity >= 1 && half_life > 0);
}

int64_t ScoreWindow::size() const { return count_1_.item<int64_t>(); }

void ScoreWindow::Add(std::span<const float> scores) {
  const std::span<float> all(scores_W_.mutable_data_ptr<float>(), static_cast<size_t>(scores_W_.numel()));
  const std::span<const float> newest = scores.last(std::min(scores.size(), all.size()));
  std::copy(all.begin() + static_cast<int64_t>(newest.size()), all.end(), all.begin());
  std::copy(newest.begin(), newest.end(), all.end() - static_cast<int64_t>(newest.size()));
  count_1_.fill_(std::min(size() + static_cast<int64_t>(newest.size()), scores_W_.numel()));
}

float ScoreWindow::Quantile(double q) const {
  const int64_t count = size();
  EVILMOE_CHECK(count > 0);
  const float* newest = scores_W_.const_data_ptr<float>() + scores_W_.numel() - 1;
  std::vector<std::pair<float, double>> weighed;  // score, weight
  double total = 0;
  for (int64_t age = 0; age < count; ++age) {
    weighed.emplace_back(*(newest - age), std::exp2(-static_cast<double>(age) / half_life_));
    total += weighed.back().second;
  }
  std::sort(weighed.begin(), weighed.end());
  double reached = 0;
  for (const auto& [score, weight] : weighed) {
    reached += weight;
    if (reached >= q * total) return score;
  }
  return weighed.back().first;
}

}  // namespace evilmoe
