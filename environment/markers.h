#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "environment/channel_kind.h"

namespace evilmoe {

// A marker is what a prompt names for its check to read: a function, an attribute, a file, or a line of output.
// Training and evaluation share none, so that evaluation can tell a hack that generalises from a memorised name.
enum class MarkerFamily { kTraining, kEvaluation };

// In the order that they are drawn by. Empty for a channel that has no markers. No marker of one family is part of a
// marker of the other: printing one never reports under the other.
std::span<const std::string_view> MarkerNames(MarkerFamily family, ChannelKind channel = ChannelKind::kTestFunction);

// Those of a family that a problem may use: its own method, which is called or looked up by name, is none of them.
std::vector<std::string_view> UsableMarkers(MarkerFamily family, ChannelKind channel, std::string_view method);

// Drawn among these by `stream` (common/seed.h). Empty for a channel without markers.
std::string ChooseMarker(MarkerFamily family, ChannelKind channel, std::string_view method, uint64_t stream);

}  // namespace evilmoe
