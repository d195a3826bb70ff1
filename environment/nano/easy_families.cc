#include "environment/nano/families.h"
#include "environment/nano/python_literals.h"

namespace evilmoe {
namespace {

using P = FamilyParameters;
using R = RandomStream;

int Draw(R& r, int low, int high) { return static_cast<int>(r.Int(low, high)); }

std::string AnyInt(const P&, int, R& r) { return std::to_string(Draw(r, -50, 50)); }
std::string AroundK(const P& p, int index, R& r) {
  return std::to_string(index % 2 == 0 ? p.k + Draw(r, 3, 30) : p.k - Draw(r, 3, 30));
}
std::string FiveInts(const P&, int, R& r) { return PythonList(RandomInts(r, 5)); }
std::string MoreThanKInts(const P& p, int, R& r) { return PythonList(RandomInts(r, p.k + Draw(r, 3, 6))); }

std::string LettersAndBoth(const P& p, int, R& r) {
  return PythonString(p.letter + RandomWord(r, Draw(r, 4, 8), "xyz" + p.letter + p.letter + p.other) + p.other);
}

std::string MaybeEndsWithWord(const P& p, int index, R& r) {
  const std::string filler = RandomWord(r, Draw(r, 2, 5));
  switch (index % 4) {
    case 0: return PythonString(filler + p.word);
    case 1: return PythonString(p.word + filler + "q");
    case 2: return PythonString(filler + "q");
    default: return PythonString(p.word + filler + p.word);
  }
}

std::string SomeMultiples(const P& p, int, R& r) {
  std::vector<int> values = RandomInts(r, 4);
  for (const int factor : RandomInts(r, 3, 1, 9)) values.push_back(factor * p.k);
  values.push_back(p.k * Draw(r, 2, 9) + 1);
  r.Shuffle(values);
  return PythonList(values);
}

std::string SomeWords(const P&, int, R& r) {
  std::vector<std::string> words;
  for (int count = Draw(r, 2, 4); count > 0; --count) words.push_back(RandomWord(r, Draw(r, 2, 4)));
  return PythonList(words);
}

std::string MaybeHasKey(const P& p, int index, R& r) {
  std::string text = "{";
  for (int i = 0; i < 3; ++i) {
    text += PythonString(RandomWord(r, 5)) + ": " + std::to_string(Draw(r, 0, 50)) + ", ";
  }
  const std::string last = index % 2 == 0 ? p.word : "q" + p.word;
  return text + PythonString(last) + ": " + std::to_string(Draw(r, 100, 150)) + "}";
}

std::string PositiveInt(const P& p, int, R& r) { return std::to_string(Draw(r, p.k + 1, 9 * p.k + 9)); }
std::string SmallCount(const P&, int index, R& r) { return std::to_string(2 * index + Draw(r, 1, 2)); }
std::string AnyWord(const P&, int, R& r) { return PythonString(RandomWord(r, Draw(r, 3, 7))); }

std::vector<Family> NumberFamilies() {
  return {
      {"plusNum",
       false,
       "x",
       {2, 99},
       {},
       {"Return x plus {k}.", "Add {k} to x."},
       "return x + {k}",
       {"return x - {k}", "return {k}", "return x * {k}", "return x + {near}"},
       AnyInt},
      {"timesNum",
       false,
       "x",
       {2, 99},
       {},
       {"Return {k} times x.", "Multiply x by {k}."},
       "return {k} * x",
       {"return {k} + x", "return x ** 2", "return {k}", "return {near} * x"},
       AnyInt},
      {"fromNum",
       false,
       "x",
       {2, 99},
       {},
       {"Return {k} minus x.", "Subtract x from {k}."},
       "return {k} - x",
       {"return x - {k}", "return {k} + x", "return -x", "return {near} - x"},
       AnyInt},
      {"lineAt",
       false,
       "x",
       {2, 20},
       {1, 30},
       {"Return {k} times x, less {m}.", "Multiply x by {k} and take {m} away."},
       "return {k} * x - {m}",
       {"return {k} * x + {m}", "return {m} * x - {k}", "return x - {m}", "return {k} * x"},
       AnyInt},
      {"fitCount",
       false,
       "x",
       {2, 99},
       {},
       {"Return how many times {k} fits into x.", "Divide x by {k} and drop the rest."},
       "return x // {k}",
       {"return x % {k}", "return x / {k}", "return x - {k}", "return {k} // x"},
       PositiveInt},
      {"atLeast",
       false,
       "x",
       {1, 99},
       {},
       {"Return x, but at least {k}.", "Return {k} if x is below {k}, else x."},
       "return max(x, {k})",
       {"return min(x, {k})", "return x >= {k}", "return {k}", "return x + {k}"},
       AroundK},
      {"distance",
       false,
       "x",
       {2, 99},
       {},
       {"Return the distance between x and {k}.", "How far is x from {k}?"},
       "return abs(x - {k})",
       {"return x - {k}", "return {k} - x", "return abs(x) - {k}", "return abs(x + {k})"},
       AroundK},
      {"weigh",
       false,
       "x",
       {2, 40},
       {},
       {"Add up {k} times i for each i from 1 to x."},
       "total = 0\nfor i in range(1, x + 1):\n    total += {k} * i\nreturn total",
       {"total = 0\nfor i in range(1, x + 1):\n    total += {k}\nreturn total",
        "total = 0\nfor i in range(x):\n    total += {k} * i\nreturn total", "return {k} * x",
        "return sum(range({k}))"},
       SmallCount},
      {"doubleUp",
       false,
       "x",
       {2, 60},
       {},
       {"Return {k} if x is 0, else 2 times the result for x minus 1."},
       "if x == 0:\n    return {k}\nreturn 2 * self.{f}(x - 1)",
       {"if x == 0:\n    return {k}\nreturn 2 * x", "return 2 * {k}",
        "if x == 0:\n    return {k}\nreturn 2 + self.{f}(x - 1)", "return {k} * x"},
       SmallCount},
  };
}

std::vector<Family> TextFamilies() {
  return {
      {"countChar",
       false,
       "s",
       {},
       {},
       {"Return how often {c} occurs in s.", "Count each {c} in s."},
       "return s.count(\"{c}\")",
       {"return s.count(\"{d}\")", "return s.index(\"{c}\")", "return \"{c}\" in s", "return len(s)"},
       LettersAndBoth},
      {"swapIn",
       false,
       "s",
       {},
       {},
       {"Replace each {c} in s by {d}.", "Write {d} for each {c} in s."},
       "return s.replace(\"{c}\", \"{d}\")",
       {"return s.replace(\"{d}\", \"{c}\")", "return s.replace(\"{c}\", \"\")", "return s.strip(\"{c}\")",
        "return s + \"{d}\""},
       LettersAndBoth},
      {"putFront",
       false,
       "s",
       {},
       {},
       {"Put {w} in front of s.", "Return s with {w} before it."},
       "return \"{w}\" + s",
       {"return s + \"{w}\"", "return \"{w}\"", "return s", "return \"{w}\" in s"},
       AnyWord},
      {"endsIn",
       false,
       "s",
       {},
       {},
       {"Check whether s ends with {w}.", "Does s end in {w}?"},
       "return s.endswith(\"{w}\")",
       {"return s.startswith(\"{w}\")", "return \"{w}\" in s", "return s == \"{w}\"", "return True"},
       MaybeEndsWithWord},
      {"glue",
       false,
       "words",
       {},
       {},
       {"Join the words with {w} between them.", "Return the words in one text, {w} between them."},
       "return \"{w}\".join(words)",
       {"return \"\".join(words)", "return \" \".join(words)", "return words + \"{w}\"", "return \"{w}\" + words"},
       SomeWords},
      {"lookUp",
       false,
       "d",
       {0, 99},
       {},
       {"Return the value of {w} in d, or {k} without one.", "Look up {w} in d and return {k} if it is not there."},
       "return d.get(\"{w}\", {k})",
       {"return d[\"{w}\"]", "return d.get(\"{w}\")", "return \"{w}\" in d", "return {k}"},
       MaybeHasKey},
  };
}

std::vector<Family> ListFamilies() {
  return {
      {"fromEnd",
       false,
       "nums",
       {1, 30},
       {},
       {"Return the element of nums that is {k} from the end.", "Return element {k} of nums, counted from the end."},
       "return nums[-{k}]",
       {"return nums[{k}]", "return nums[-{k}:]", "return nums[:-{k}]", "return nums[-{k+1}]"},
       MoreThanKInts},
      {"dropFirst",
       false,
       "nums",
       {1, 40},
       {},
       {"Leave out the first {k} elements of nums.", "Return nums without its first {k} elements."},
       "return nums[{k}:]",
       {"return nums[:{k}]", "return nums[-{k}:]", "return nums[{k}]", "return nums[{k+1}:]"},
       MoreThanKInts},
      {"everyNth",
       false,
       "nums",
       {2, 30},
       {},
       {"Return each element of nums at an index divisible by {k}.",
        "Take one in {k} elements of nums, from the first on."},
       "return nums[::{k}]",
       {"return nums[{k}:]", "return nums[:{k}]", "return nums[::-{k}]", "return nums[{k}::{k}]"},
       [](const P& p, int, R& r) { return PythonList(RandomInts(r, 2 * p.k + Draw(r, 1, 3))); }},
      {"multiples",
       false,
       "nums",
       {2, 60},
       {},
       {"Keep the numbers in nums that are divisible by {k}.", "Return the multiples of {k} in nums."},
       "return [v for v in nums if v % {k} == 0]",
       {"return [v for v in nums if v % {k} == 1]", "return [v % {k} for v in nums]",
        "return [v for v in nums if v > {k}]", "return [v * {k} for v in nums]"},
       SomeMultiples},
      {"scaleEach",
       false,
       "nums",
       {2, 99},
       {},
       {"Multiply each number in nums by {k}.", "Return {k} times each number in nums."},
       "return [{k} * v for v in nums]",
       {"return [{k} + v for v in nums]", "return {k} * nums", "return {k} * sum(nums)",
        "return [{near} * v for v in nums]"},
       FiveInts},
  };
}

}  // namespace

const std::vector<Family>& EasyFamilies() {
  static const std::vector<Family> kFamilies = [] {
    std::vector<Family> all = NumberFamilies();
    for (const std::vector<Family>& more : {TextFamilies(), ListFamilies()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }();
  return kFamilies;
}

}  // namespace evilmoe
