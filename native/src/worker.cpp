#include "worker.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <new>

namespace attento {
namespace {

// Sources are read in groups of so many tokens: enough for full products, few enough to stay in the second cache.
constexpr int kReadTokens = 512;
// Sentences join when so large a part of the room is free: reading many at once is cheaper.
constexpr int kJoinPart = 8;
// Below all logits that a model gives, and still a number: a search has to end.
constexpr float kNever = -1e9f;

std::string what_happened(const std::exception& problem) {
  if (dynamic_cast<const std::bad_alloc*>(&problem) != nullptr) return "needs more memory than there is";
  return problem.what();
}

}  // namespace

void Worker::run() {
  while (join()) {
    drop_cancelled();
    if (!active_.empty()) step();
  }
  while (!active_.empty()) leave(0, {{}, "was given up"});
}

int Worker::rows() const {
  int rows = 0;
  for (const auto& each : active_) rows += each->sentence.slots;
  return rows;
}

bool Worker::join() {
  const int free_rows = max_rows_ - rows();
  if (!active_.empty() && free_rows < std::max(1, max_rows_ / kJoinPart)) return true;
  std::vector<Pool::Ticket> tickets;
  if (!pool_.take(free_rows, active_.empty(), tickets)) return false;
  begin(tickets);
  return true;
}

void Worker::begin(const std::vector<Pool::Ticket>& tickets) {
  std::size_t first = active_.size();
  int tokens = 0;
  for (const Pool::Ticket& ticket : tickets) {
    try {
      active_.push_back(prepare(ticket));
    } catch (const std::exception& problem) {
      pool_.deliver(ticket, {{}, what_happened(problem)});
      continue;
    }
    tokens += static_cast<int>(active_.back()->sentence.source.size());
    if (tokens >= kReadTokens) {
      read(first, active_.size());
      first = active_.size();
      tokens = 0;
    }
  }
  read(first, active_.size());
}

std::unique_ptr<Worker::Active> Worker::prepare(const Pool::Ticket& ticket) {
  const Settings& s = pool_.model_.settings;
  const Request& request = (*ticket.job->requests)[ticket.index];
  if (spare_.empty()) spare_.push_back(std::make_unique<Active>());
  std::unique_ptr<Active> active = std::move(spare_.back());
  spare_.pop_back();
  active->ticket = ticket;
  std::vector<std::int32_t>& source = active->sentence.source;
  std::int32_t first = s.bos;
  if (s.translates()) {
    source = request.source;
    source.push_back(s.eos);
  } else {
    // What follows the last token of a prompt is the first that is looked for.
    source = {s.bos};
    source.insert(source.end(), request.source.begin(), request.source.end());
    first = source.back();
    source.pop_back();
  }
  active->search.emplace(*ticket.job->search, request.max_length, request.prefix, request.uniform, first, s.eos);
  active->sentence.slots = rows_of(*ticket.job->search);
  active->sentence.tokens.clear();
  return active;
}

void Worker::read(std::size_t first, std::size_t last) {
  sentences_.clear();
  for (std::size_t i = first; i < last; ++i) sentences_.push_back(&active_[i]->sentence);
  if (sentences_.empty()) return;
  try {
    forward_->read(sentences_);
  } catch (const std::exception& problem) {
    if (last - first == 1) return give_up(first, problem);
    for (std::size_t i = last; i-- > first;) read(i, i + 1);
  }
}

void Worker::step() {
  const int vocabulary = pool_.model_.settings.target_vocab_size;
  sentences_.clear();
  for (const auto& each : active_) {
    Sentence& sentence = each->sentence;
    sentence.tokens.clear();
    sentence.parents.clear();
    for (int i = 0; i < each->search->live(); ++i) {
      sentence.tokens.push_back(each->search->token(i));
      sentence.parents.push_back(each->search->parent(i));
    }
    sentences_.push_back(&sentence);
  }
  float* logits = nullptr;
  try {
    logits = forward_->step(sentences_);
  } catch (const std::exception& problem) {
    // The others take this step again.
    const auto room = [](const auto& each) {
      return (each->sentence.source.size() + each->sentence.seen) * each->sentence.slots;
    };
    const auto largest = std::max_element(active_.begin(), active_.end(),
                                          [&](const auto& one, const auto& other) { return room(one) < room(other); });
    return give_up(static_cast<std::size_t>(largest - active_.begin()), problem);
  }
  const std::int64_t stride = forward_->logits_stride();
  // Those that end leave afterwards: each has its rows by its place.
  std::vector<std::size_t> ended;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    Active& each = *active_[i];
    const int rows = each.search->live();
    Outcome outcome;
    for (int row = 0; row < rows; ++row) forbid(logits + row * stride);
    try {
      each.search->advance(kernels_, logits, stride, vocabulary);
      if (each.search->live() == 0) outcome.hypotheses = each.search->result();
    } catch (const std::exception& problem) {
      outcome.error = what_happened(problem);
    }
    logits += rows * stride;
    if (!outcome.error.empty() || each.search->live() == 0) {
      pool_.deliver(each.ticket, std::move(outcome));
      ended.push_back(i);
    }
  }
  for (std::size_t i = ended.size(); i-- > 0;) {
    spare_.push_back(std::move(active_[ended[i]]));
    active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(ended[i]));
  }
}

// What stands in no text is not written by a language model: marks, and what the vocabulary lacks. A text has no end of
// its own, since training text is one stream. A translation model has learned by itself what not to write.
void Worker::forbid(float* logits) const {
  const Settings& s = pool_.model_.settings;
  if (s.translates()) return;
  for (const int id : {s.pad, s.unk, s.bos}) logits[id] -= std::numeric_limits<float>::infinity();
  logits[s.eos] += kNever;
}

void Worker::drop_cancelled() {
  for (std::size_t i = active_.size(); i-- > 0;) {
    if (pool_.is_cancelled(active_[i]->ticket)) leave(i, {{}, "was given up"});
  }
}

void Worker::leave(std::size_t place, Outcome outcome) {
  pool_.deliver(active_[place]->ticket, std::move(outcome));
  spare_.push_back(std::move(active_[place]));
  active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(place));
}

void Worker::give_up(std::size_t place, const std::exception& problem) {
  pool_.deliver(active_[place]->ticket, {{}, what_happened(problem)});
  active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(place));
  spare_.clear();
  forward_.emplace(pool_.model_, kernels_);
}

}  // namespace attento
