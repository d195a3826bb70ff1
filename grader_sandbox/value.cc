#include "grader_sandbox/value.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "absl/hash/hash.h"

namespace evilmoe {
namespace {

struct ByHash {
  size_t operator()(const Value* value) const { return PythonHash(*value); }
};
struct ByEquality {
  bool operator()(const Value* a, const Value* b) const { return PythonEqual(*a, *b); }
};

std::string BigEndian(uint64_t number) {
  std::string bytes;
  for (; number != 0; number >>= 8) bytes.insert(bytes.begin(), static_cast<char>(number & 0xff));
  return bytes;
}

// The int that a float is exactly; nullopt for a fraction, inf and nan.
std::optional<PyInt> ExactInt(double number) {
  if (!std::isfinite(number) || std::trunc(number) != number) return std::nullopt;
  int exponent = 0;
  const double fraction = std::frexp(std::fabs(number), &exponent);
  constexpr int kMantissaBits = 53;
  auto mantissa = static_cast<uint64_t>(std::ldexp(fraction, kMantissaBits));
  int shift = exponent - kMantissaBits;
  if (shift < 0) {
    mantissa = -shift >= 64 ? 0 : mantissa >> -shift;
    shift = 0;
  }
  PyInt result;
  result.magnitude = BigEndian(mantissa << (shift % 8)) + std::string(mantissa == 0 ? 0 : shift / 8, '\0');
  result.negative = number < 0 && !result.magnitude.empty();
  return result;
}

// bool, int and float as an exact int.
std::optional<PyInt> AsInt(const Value& value) {
  if (const bool* flag = value.As<bool>()) return MakePyInt(*flag ? 1 : 0);
  if (const PyInt* number = value.As<PyInt>()) return *number;
  if (const double* number = value.As<double>()) return ExactInt(*number);
  return std::nullopt;
}

bool IsNumber(const Value& value) {
  return value.As<bool>() != nullptr || value.As<PyInt>() != nullptr || value.As<double>() != nullptr;
}

bool NumbersEqual(const Value& a, const Value& b) {
  const double* left = a.As<double>();
  const double* right = b.As<double>();
  if (left != nullptr && right != nullptr) return *left == *right;
  const std::optional<PyInt> x = AsInt(a);
  return x.has_value() && x == AsInt(b);
}

bool SequencesEqual(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), PythonEqual);
}

bool SetsEqual(const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  std::unordered_set<const Value*, ByHash, ByEquality> members;
  for (const Value& item : a) members.insert(&item);
  return std::all_of(b.begin(), b.end(), [&](const Value& item) { return members.contains(&item); });
}

bool DictsEqual(const PyDict& a, const PyDict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  std::unordered_map<const Value*, const Value*, ByHash, ByEquality> entries;
  for (const auto& [key, value] : a.entries) entries.emplace(&key, &value);
  return std::all_of(b.entries.begin(), b.entries.end(), [&](const auto& entry) {
    const auto found = entries.find(&entry.first);
    return found != entries.end() && PythonEqual(*found->second, entry.second);
  });
}

size_t HashInt(const PyInt& number) { return absl::HashOf(number.negative, number.magnitude); }

}  // namespace

PyInt MakePyInt(int64_t number) {
  const auto bits = static_cast<uint64_t>(number);
  return {.negative = number < 0, .magnitude = BigEndian(number < 0 ? ~bits + 1 : bits)};
}

bool PythonEqual(const Value& a, const Value& b) {
  if (IsNumber(a) || IsNumber(b)) return IsNumber(a) && IsNumber(b) && NumbersEqual(a, b);
  if (a.data().index() != b.data().index()) return false;
  if (a.As<PyNone>() != nullptr) return true;
  if (const PyStr* text = a.As<PyStr>()) return text->utf8 == b.As<PyStr>()->utf8;
  if (const PyBytes* bytes = a.As<PyBytes>()) return bytes->bytes == b.As<PyBytes>()->bytes;
  if (const PyList* list = a.As<PyList>()) return SequencesEqual(list->items, b.As<PyList>()->items);
  if (const PyTuple* tuple = a.As<PyTuple>()) return SequencesEqual(tuple->items, b.As<PyTuple>()->items);
  if (const PySet* set = a.As<PySet>()) return SetsEqual(set->items, b.As<PySet>()->items);
  if (const PyDict* dict = a.As<PyDict>()) return DictsEqual(*dict, *b.As<PyDict>());
  if (const PyNodes* nodes = a.As<PyNodes>()) {
    return nodes->shape == b.As<PyNodes>()->shape && SequencesEqual(nodes->items, b.As<PyNodes>()->items);
  }
  return false;
}

PyNodes CanonicalNodes(PyNodes nodes) {
  if (nodes.shape == NodeShape::kList || nodes.items.empty()) return nodes;
  // The root may have the value None; below it None is no node. Each node takes the next two items.
  size_t num_nodes = 1;
  size_t at = 1;
  for (size_t node = 0; node < num_nodes && at < nodes.items.size(); ++node) {
    for (size_t child = 0; child < 2 && at < nodes.items.size(); ++child, ++at) {
      num_nodes += nodes.items[at].As<PyNone>() == nullptr ? 1 : 0;
    }
  }
  nodes.items.resize(at);
  while (nodes.items.size() > 1 && nodes.items.back().As<PyNone>() != nullptr) nodes.items.pop_back();
  return nodes;
}

size_t PythonHash(const Value& value) {
  if (const std::optional<PyInt> number = AsInt(value)) return HashInt(*number);
  // What equals nothing, not even itself, hashes by where it stands: a hostile set of a million nans must not collide.
  if (value.As<PyOpaque>() != nullptr) return absl::HashOf(&value);
  if (const double* number = value.As<double>()) {
    return std::isnan(*number) ? absl::HashOf(&value) : absl::HashOf(*number);
  }
  if (const PyStr* text = value.As<PyStr>()) return absl::HashOf(text->utf8);
  if (const PyBytes* bytes = value.As<PyBytes>()) return absl::HashOf(bytes->bytes, 'b');
  if (const PyTuple* tuple = value.As<PyTuple>()) {
    size_t hash = absl::HashOf(tuple->items.size());
    for (const Value& item : tuple->items) hash = absl::HashOf(hash, PythonHash(item));
    return hash;
  }
  return 0;  // None, and what cannot be a key
}

bool IsHashable(const Value& value) {
  if (const PyTuple* tuple = value.As<PyTuple>()) {
    return std::all_of(tuple->items.begin(), tuple->items.end(), IsHashable);
  }
  return value.As<PyList>() == nullptr && value.As<PySet>() == nullptr && value.As<PyDict>() == nullptr &&
         value.As<PyNodes>() == nullptr;
}

bool HoldsOpaque(const Value& value) {
  if (const PyDict* dict = value.As<PyDict>()) {
    return std::any_of(dict->entries.begin(), dict->entries.end(),
                       [](const auto& entry) { return HoldsOpaque(entry.first) || HoldsOpaque(entry.second); });
  }
  const std::vector<Value>* items = nullptr;
  if (const PyList* list = value.As<PyList>()) items = &list->items;
  if (const PyTuple* tuple = value.As<PyTuple>()) items = &tuple->items;
  if (const PySet* set = value.As<PySet>()) items = &set->items;
  if (const PyNodes* nodes = value.As<PyNodes>()) items = &nodes->items;
  if (items == nullptr) return value.As<PyOpaque>() != nullptr;
  return std::any_of(items->begin(), items->end(), HoldsOpaque);
}

bool HasDuplicates(const std::vector<Value>& items) {
  std::unordered_set<const Value*, ByHash, ByEquality> seen;
  return !std::all_of(items.begin(), items.end(), [&](const Value& item) { return seen.insert(&item).second; });
}

}  // namespace evilmoe
