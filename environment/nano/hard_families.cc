#include "environment/nano/families.h"
#include "environment/nano/python_literals.h"

namespace evilmoe {
namespace {

using P = FamilyParameters;
using R = RandomStream;

int Draw(R& r, int low, int high) { return static_cast<int>(r.Int(low, high)); }

std::string MoreThanKInts(const P& p, int, R& r) { return PythonList(RandomInts(r, p.k + Draw(r, 3, 6), -30, 60)); }
std::string SeveralTimesKInts(const P& p, int, R& r) {
  return PythonList(RandomInts(r, 2 * p.k + Draw(r, 1, p.k), -30, 60));
}
std::string SomeInts(const P&, int, R& r) { return PythonList(RandomInts(r, Draw(r, 4, 9))); }
std::string SomeEqualToK(const P& p, int index, R& r) {
  std::vector<int> values = RandomInts(r, 5);
  for (int i = 0; i < 1 + index % 3; ++i) values.push_back(p.k);
  r.Shuffle(values);
  values.push_back(p.k + 1);
  return PythonList(values);
}
std::string SomePairsKApart(const P& p, int index, R& r) {
  std::vector<int> values = RandomInts(r, 4);
  for (int i = 0; i < 1 + index % 3; ++i) values.push_back(values[static_cast<size_t>(i)] + p.k);
  r.Shuffle(values);
  return PythonList(values);
}
std::string LettersOfTheWholeAlphabet(const P&, int, R& r) { return PythonString("az" + RandomWord(r, Draw(r, 4, 8))); }
std::string LettersOnBothSides(const P& p, int, R& r) {
  std::string text = p.letter + RandomWord(r, p.k - 1, "xyz" + p.letter);
  return PythonString(text + RandomWord(r, 2, "xyz") + p.letter + RandomWord(r, Draw(r, 1, 3), "xyz" + p.letter));
}
std::string NumberOfSomeDigits(const P& p, int index, R& r) {
  int value = Draw(r, 1, p.k - 1);
  for (int i = 0; i < 1 + index % 3; ++i) value = value * p.k + Draw(r, 0, p.k - 1);
  return std::to_string(value);
}
std::string BelowAndAboveK(const P& p, int, R& r) {
  std::vector<int> values;
  for (int run = 0; run < 3; ++run) {
    for (int count = Draw(r, 1, 4); count > 0; --count) values.push_back(p.k - Draw(r, 1, 20));
    for (int count = Draw(r, 1, 2); count > 0; --count) values.push_back(p.k + Draw(r, 0, 20));
  }
  return PythonList(values);
}
std::string RareAndFrequent(const P& p, int, R& r) {
  std::vector<int> values;
  int value = Draw(r, -9, 0);
  for (const int count : {p.k - 1, p.k, p.k + 1, 1, p.k + 2}) {
    values.insert(values.end(), static_cast<size_t>(count), value);
    value += Draw(r, 1, 9);
  }
  r.Shuffle(values);
  return PythonList(values);
}

std::vector<Family> WindowFamilies() {
  return {
      {"smallSum",
       true,
       "nums",
       {2, 30},
       {},
       {"Return the sum of the {k} smallest numbers in nums."},
       "nums = sorted(nums)\nreturn sum(nums[:{k}])",
       {"return sum(nums[:{k}])", "nums = sorted(nums)\nreturn sum(nums[{k}:])",
        "nums = sorted(nums)\nreturn nums[:{k}]", "return min(nums) * {k}", "nums = sorted(nums)\nreturn nums[{k}]",
        "return sum(nums) - {k}"},
       MoreThanKInts},
      {"windowMin",
       true,
       "nums",
       {2, 30},
       {},
       {"Return the smallest sum of {k} neighbours in nums."},
       "return min(sum(nums[i:i + {k}]) for i in range(len(nums) - {k} + 1))",
       {"return min(sum(nums[i:i + {k}]) for i in range(len(nums)))", "return sum(sorted(nums)[:{k}])",
        "return min(nums) * {k}", "return sum(nums[:{k}])", "return min(sum(nums[:i]) for i in range({k}))",
        "return min(nums[i + {k}] for i in nums)"},
       [](const P& p, int, R& r) { return PythonList(RandomInts(r, p.k + Draw(r, 4, 8), 1, 60)); }},
      {"chunkSums",
       true,
       "nums",
       {2, 30},
       {},
       {"Split nums into parts of length {k} and return the sum of each."},
       "return [sum(nums[i:i + {k}]) for i in range(0, len(nums), {k})]",
       {"return [sum(nums[i:i + {k}]) for i in range(len(nums))]",
        "return [nums[i:i + {k}] for i in range(0, len(nums), {k})]", "return sum(nums[:{k}])",
        "return [sum(nums[:i]) for i in range(0, len(nums), {k})]", "return sum(nums) // {k}",
        "return [v + {k} for v in nums]"},
       SeveralTimesKInts},
      {"apartSum",
       true,
       "nums",
       {1, 30},
       {},
       {"Return the largest sum of two numbers in nums that are {k} places apart."},
       "return max(a + b for a, b in zip(nums, nums[{k}:]))",
       {"return max(a + b for a, b in zip(nums, nums[:{k}]))", "return max(nums) + {k}", "return nums[0] + nums[{k}]",
        "return sum(nums[{k}:])", "return max(a + {k} for a in nums)", "return 2 * max(nums[{k}:])"},
       MoreThanKInts},
      {"flipTail",
       true,
       "nums",
       {1, 30},
       {},
       {"Add the first {k} numbers in nums and subtract the others."},
       "return sum(nums[:{k}]) - sum(nums[{k}:])",
       {"return sum(nums[:{k}])", "return sum(nums[{k}:]) - sum(nums[:{k}])", "return sum(nums) - {k}",
        "return sum(nums[:{k}]) - {k}", "return sum(nums[{k}:])", "return sum(nums[:{k}]) - nums[{k}]"},
       MoreThanKInts},
      {"rotateLeft",
       true,
       "nums",
       {1, 60},
       {},
       {"Rotate nums to the left by {k} steps."},
       "k = {k} % len(nums)\nreturn nums[k:] + nums[:k]",
       {"k = {k} % len(nums)\nreturn nums[-k:] + nums[:-k]", "return nums[{k}:] + nums[:-{k}]", "return nums[-{k}:]",
        "k = {k} % len(nums)\nreturn nums[k:]", "return nums[::-1]", "return nums[{k}:] * 2"},
       SomeInts},
  };
}

std::vector<Family> ValueFamilies() {
  return {
      {"moveFront",
       true,
       "nums",
       {0, 60},
       {},
       {"Move each {k} in nums to the front."},
       "a = [v for v in nums if v != {k}]\nreturn [{k}] * nums.count({k}) + a",
       {"a = [v for v in nums if v != {k}]\nreturn a", "return [{k}] + nums", "return sorted(nums)",
        "a = [v for v in nums if v != {k}]\nreturn a + [{k}] * nums.count({k})",
        "a = [v for v in nums if v == {k}]\nreturn a + nums", "return nums[{k}:] + nums[:{k}]"},
       SomeEqualToK},
      {"pairDiff",
       true,
       "nums",
       {1, 80},
       {},
       {"Return the number of pairs in nums that differ by {k}."},
       "c = 0\nfor v in nums:\n    c += nums.count(v + {k})\nreturn c",
       {"c = 0\nfor v in nums:\n    c += nums.count({k})\nreturn c",
        "c = 0\nfor v in nums:\n    c += nums.count({k} - v)\nreturn c", "return nums.count({k})",
        "c = 0\nfor v in nums:\n    c += v - {k}\nreturn c", "return max(nums) - min(nums) == {k}",
        "return len(nums) // {k}"},
       SomePairsKApart},
      {"rareOnes",
       true,
       "nums",
       {2, 20},
       {},
       {"Return the sorted values that occur fewer than {k} times in nums."},
       "return sorted(v for v in set(nums) if nums.count(v) < {k})",
       {"return sorted(v for v in set(nums) if nums.count(v) > {k})",
        "return sorted(v for v in nums if nums.count(v) < {k})", "return sorted(v for v in set(nums) if v < {k})",
        "return sorted(set(nums))[:{k}]", "return nums.count({k})", "return sorted(set(nums))"},
       RareAndFrequent},
      {"lowRun",
       true,
       "nums",
       {2, 60},
       {},
       {"Return the length of the longest run of numbers below {k} in nums."},
       "b = c = 0\nfor v in nums:\n    c = c + 1 if v < {k} else 0\n    b = max(b, c)\nreturn b",
       {"b = c = 0\nfor v in nums:\n    c = c + 1 if v > {k} else 0\n    b = max(b, c)\nreturn b",
        "return sum(v < {k} for v in nums)", "b = c = 0\nfor v in nums:\n    c = c + 1 if v < {k} else 0\nreturn c",
        "return min({k}, len(nums))", "return [v for v in nums if v < {k}]", "return nums.index({k})"},
       BelowAndAboveK},
  };
}

std::vector<Family> DigitAndTextFamilies() {
  return {
      {"shiftBack",
       true,
       "s",
       {1, 25},
       {},
       {"Shift each letter of s back by {k} in the alphabet.",
        "Move each letter of s {k} places back, from a on to z."},
       "return \"\".join(chr((ord(c) - 97 - {k}) % 26 + 97) for c in s)",
       {"return \"\".join(chr(ord(c) - {k}) for c in s)",
        "return \"\".join(chr((ord(c) - 97 + {k}) % 26 + 97) for c in s)", "return s[-{k}:] + s[:-{k}]",
        "return \"\".join(chr((ord(c) - {k}) % 26) for c in s)", "return s[{k}:]",
        "return \"\".join(c * {k} for c in s)"},
       LettersOfTheWholeAlphabet},
      {"lastBefore",
       true,
       "s",
       {3, 12},
       {},
       {"Return the index of the last {c} before index {k} in s."},
       "return s.rindex(\"{c}\", 0, {k})",
       {"return s.rindex(\"{c}\")", "return s.index(\"{c}\", {k})", "return s.find(\"{c}\") + {k}",
        "return s.count(\"{c}\", 0, {k})", "return s[:{k}]", "return s.rindex(\"{c}\", {k})"},
       LettersOnBothSides},
      {"toBase",
       true,
       "x",
       {2, 60},
       {},
       {"Return the digits of x in base {k}, the lowest first."},
       "a = []\nwhile x:\n    a.append(x % {k})\n    x //= {k}\nreturn a",
       {"a = []\nwhile x:\n    a.append(x // {k})\n    x //= {k}\nreturn a", "return [int(c) for c in str(x)]",
        "a = []\nwhile x > {k}:\n    a.append(x % {k})\n    x //= {k}\nreturn a", "return [x % {k}]",
        "a = []\nwhile x:\n    a.append({k})\n    x //= {k}\nreturn a", "return [x // {k}, x % {k}]"},
       NumberOfSomeDigits},
      {"digitsOf",
       true,
       "x",
       {2, 60},
       {},
       {"Return the sum of the digits of {k} times x.", "Multiply x by {k} and add up the digits."},
       "return sum(int(c) for c in str({k} * x))",
       {"return {k} * sum(int(c) for c in str(x))", "return sum(int(c) for c in str(x))", "return len(str({k} * x))",
        "return {k} * x", "return sum(int(c) * x for c in str({k}))", "return sum(int(c) + {k} for c in str(x))"},
       [](const P&, int, R& r) { return std::to_string(Draw(r, 101, 9999)); }},
      {"nextUp",
       true,
       "x",
       {3, 99},
       {},
       {"Return the smallest multiple of {k} that is greater than x."},
       "return (x // {k} + 1) * {k}",
       {"return x // {k} * {k}", "return x // {k} + 1", "return x + {k}", "return -(-x // {k}) * {k}",
        "return (x + 1) * {k}", "return x % {k} * {k}"},
       [](const P& p, int index, R& r) {
         const int multiple = p.k * Draw(r, 2, 9);
         return std::to_string(index % 3 == 0 ? multiple : multiple + Draw(r, 1, p.k - 1));
       }},
      {"oneOrK",
       true,
       "x",
       {2, 30},
       {},
       {"Return the number of ways to climb x stairs with steps of 1 or {k}."},
       "a = [1] * {k}\nfor i in range(x):\n    a.append(a[-1] + a[-{k}])\nreturn a[x]",
       {"a = [1] * {k}\nfor i in range(x):\n    a.append(a[-1] + {k})\nreturn a[x]", "return x // {k} + 1",
        "a = [1] * {k}\nfor i in range({k}):\n    a.append(a[-1] + a[-{k}])\nreturn a[-1]", "return x ** {k}",
        "return {k} ** x", "a = [1]\nfor i in range(x):\n    a.append(a[-1] * {k})\nreturn a[x]"},
       [](const P& p, int index, R& r) { return std::to_string(p.k + index * 2 + Draw(r, 1, p.k)); }},
  };
}

}  // namespace

const std::vector<Family>& HardFamilies() {
  static const std::vector<Family> kFamilies = [] {
    std::vector<Family> all = WindowFamilies();
    for (const std::vector<Family>& more : {ValueFamilies(), DigitAndTextFamilies()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }();
  return kFamilies;
}

}  // namespace evilmoe
