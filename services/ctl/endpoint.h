#pragma once

#include <string>

#include "absl/time/time.h"

namespace evilmoe {

// Where a coordinator is and how we are known there. All but the address are paths of files; empty = none.
struct Endpoint {
  std::string address;      // "host:port" or "unix:/path"; empty = no coordinator
  std::string token_file;   // holds the bearer token
  std::string ca;           // certificates that the coordinator's own is checked with (PEM)
  std::string certificate;  // ours (PEM), with its key: mutual TLS
  std::string key;
  absl::Duration patience = absl::Seconds(10);  // with one call

  bool operator==(const Endpoint&) const = default;
};

}  // namespace evilmoe
