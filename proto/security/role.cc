#include "proto/security/role.h"

#include <algorithm>
#include <array>
#include <utility>

namespace evilmoe {
namespace {

using Named = std::pair<std::string_view, Role>;

constexpr std::array<Named, 4> kNames = {
    {{"read", Role::kRead}, {"submit", Role::kSubmit}, {"admin", Role::kAdmin}, {"worker", Role::kWorker}}};

// proto/evilmoe/v1/coordinator.proto says the same beside each call.
constexpr std::array<Named, 12> kCoordinatorCalls = {{{"GetRun", Role::kRead},
                                                      {"ListRuns", Role::kRead},
                                                      {"ListEvents", Role::kRead},
                                                      {"GetStatus", Role::kRead},
                                                      {"ReadRunFile", Role::kRead},
                                                      {"ListRunFiles", Role::kRead},
                                                      {"SubmitRun", Role::kSubmit},
                                                      {"SubmitJob", Role::kSubmit},
                                                      {"CancelRun", Role::kSubmit},
                                                      {"PauseRun", Role::kSubmit},
                                                      {"ResumeRun", Role::kSubmit},
                                                      {"RetryRun", Role::kSubmit}}};

template <size_t N>
std::optional<Role> Find(const std::array<Named, N>& table, std::string_view name) {
  const auto row = std::find_if(table.begin(), table.end(), [&](const Named& one) { return one.first == name; });
  return row == table.end() ? std::nullopt : std::optional(row->second);
}

}  // namespace

std::string_view RoleName(Role role) {
  return std::find_if(kNames.begin(), kNames.end(), [&](const Named& one) { return one.second == role; })->first;
}

std::optional<Role> ParseRole(std::string_view name) { return Find(kNames, name); }

bool Allows(Role have, Role need) {
  return have == need || have == Role::kAdmin || (have == Role::kSubmit && need == Role::kRead);
}

Role CoordinatorRole(std::string_view method) { return Find(kCoordinatorCalls, method).value_or(Role::kWorker); }

Role GraderRole(std::string_view) { return Role::kWorker; }

}  // namespace evilmoe
