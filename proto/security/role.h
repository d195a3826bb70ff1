#pragma once

#include <optional>
#include <string_view>

namespace evilmoe {

// What the holder of a token may do. kSubmit includes kRead; kAdmin includes everything; kWorker is for trainers and
// rollout workers and includes neither of the others.
enum class Role { kRead, kSubmit, kAdmin, kWorker };

std::string_view RoleName(Role role);  // "read" | "submit" | "admin" | "worker"
std::optional<Role> ParseRole(std::string_view name);

// Whether a holder of `have` may make calls that need `need`.
bool Allows(Role have, Role need);

// The role that a call needs, by its bare name ("GetRun"). A call that the table does not know needs kWorker.
Role CoordinatorRole(std::string_view method);
Role GraderRole(std::string_view method);

}  // namespace evilmoe
