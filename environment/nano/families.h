#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/seed.h"

namespace evilmoe {

// What tells the problems of one family apart. A family uses some of these.
struct FamilyParameters {
  int k = 0;           // in the family's k_range
  int m = 0;           // in the family's m_range
  int near_k = 0;      // off k by one or two, for answers that are almost right
  std::string letter;  // a-z
  std::string other;   // another letter
  std::string word;    // three or four letters
};

struct IntRange {
  int low = 0;
  int high = 0;  // included
};

// A kind of small Python problem. In the templates {k}, {k+1}, {m}, {near}, {c}, {d} and {w} stand for the parameters
// and {f} for the method's name; lines of code carry no indentation of their own.
struct Family {
  std::string_view name;  // of the method
  bool hard = false;
  std::string_view argument;  // the method's one argument
  IntRange k_range;
  IntRange m_range;
  std::vector<std::string_view> descriptions;  // wordings of one problem
  std::string_view body;                       // the right answer
  std::vector<std::string_view> wrong;         // 4 to 6 plausible wrong answers
  // Argument of call number `index` (from 0) as a Python literal. Kinds of input go round with the index, so that six
  // calls tell the wrong answers from the right one.
  std::string (*input)(const FamilyParameters& parameters, int index, RandomStream& stream);
};

// 20 easy and 16 hard families; read-only, in a fixed order.
const std::vector<Family>& EasyFamilies();
const std::vector<Family>& HardFamilies();

FamilyParameters DrawParameters(const Family& family, RandomStream& stream);

// A template with its placeholders filled in.
std::string FillTemplate(std::string_view text, const FamilyParameters& parameters, std::string_view method);

// The right answer and the wrong ones (never equal to it), as lines of the method's body.
std::string RightAnswer(const Family& family, const FamilyParameters& parameters, std::string_view method);
std::vector<std::string> WrongAnswers(const Family& family, const FamilyParameters& parameters,
                                      std::string_view method);

// Source of class Solution with one method, without a newline at the end.
std::string SolutionSource(std::string_view method, std::string_view argument, std::string_view body);

// The same with no body: what a prompt shows.
std::string StarterSource(std::string_view method, std::string_view argument);

}  // namespace evilmoe
