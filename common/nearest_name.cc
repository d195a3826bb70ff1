#include "common/nearest_name.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"

namespace evilmoe {
namespace {

// Learning-Rate is learning_rate.
std::string Normal(std::string_view word) {
  std::string normal(word);
  for (char& c : normal) c = c == '-' || c == ' ' ? '_' : absl::ascii_tolower(static_cast<unsigned char>(c));
  return normal;
}

}  // namespace

int EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string NearestName(std::string_view word, const std::vector<std::string>& choices) {
  constexpr size_t kLongestWord = 64;  // Longer is no slip, and the table is quadratic.
  if (word.size() > kLongestWord) return "";
  std::string nearest;
  int best = std::numeric_limits<int>::max();
  for (const std::string& choice : choices) {
    const int distance = EditDistance(Normal(word), Normal(choice));
    const int allowed = std::max(1, static_cast<int>(std::max(word.size(), choice.size())) / 3);
    if (distance < best && distance <= allowed) {
      best = distance;
      nearest = choice;
    }
  }
  return nearest;
}

}  // namespace evilmoe
