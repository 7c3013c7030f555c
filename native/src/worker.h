// One thread of the pool: a batch that sentences join and leave.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "forward.h"
#include "pool.h"
#include "search.h"

namespace attento {

class Worker {
 public:
  Worker(Pool& pool, const Kernels& kernels, int max_rows)
      : pool_(pool), kernels_(kernels), max_rows_(max_rows) {
    forward_.emplace(pool.model_, kernels);
  }

  // Translate until the pool ends.
  void run();

 private:
  // A sentence in the batch.
  struct Active {
    Pool::Ticket ticket;
    std::optional<Search> search;
    Sentence sentence;
  };

  bool join();
  void begin(const std::vector<Pool::Ticket>& tickets);
  std::unique_ptr<Active> prepare(const Pool::Ticket& ticket);
  void read(std::size_t first, std::size_t last);
  void step();
  void forbid(float* logits) const;
  void drop_cancelled();
  // Say what came of a sentence and take it out of the batch; its room is kept for others.
  void leave(std::size_t place, Outcome outcome);
  // The same where it failed, with all room that was made for it: others may need that.
  void give_up(std::size_t place, const std::exception& problem);
  int rows() const;

  Pool& pool_;
  const Kernels& kernels_;
  std::optional<Forward> forward_;
  const int max_rows_;
  std::vector<std::unique_ptr<Active>> active_, spare_;
  std::vector<Sentence*> sentences_;
};

// How many hypotheses a search may have at once.
int rows_of(const SearchSettings& search);

}  // namespace attento
