#include "settings.h"

namespace attento {
namespace {

// Far above any model there is, and low enough that no product of two overflows.
constexpr int kMost = 1 << 24;

struct FeedForward {
  Activation activation;
  bool gated;
};

// In the order of the numbers in the file: relu gelu gelu_tanh silu glu reglu geglu geglu_tanh swiglu bilinear.
constexpr FeedForward kFeedForwards[] = {
    {Activation::relu, false},   {Activation::gelu, false}, {Activation::gelu_tanh, false}, {Activation::silu, false},
    {Activation::sigmoid, true}, {Activation::relu, true},  {Activation::gelu, true},       {Activation::gelu_tanh, true},
    {Activation::silu, true},    {Activation::none, true},
};

}  // namespace

Settings Settings::read(const ModelFile& file) {
  const auto whole = [&](const char* name, std::int64_t least, std::int64_t most) {
    return static_cast<int>(file.whole(name, least, most));
  };
  const auto check = [&](bool right, const char* complaint) {
    if (!right) file.damaged(complaint);
  };
  Settings s;
  s.architecture = static_cast<Architecture>(whole("architecture", 0, 2));
  s.compute_type = static_cast<Number>(whole("compute_type", 0, 2));
  s.d_model = whole("d_model", 1, kMost);
  s.d_ff = whole("d_ff", 1, kMost);
  s.num_heads = whole("num_heads", 1, 4096);
  s.num_kv_heads = whole("num_kv_heads", 1, 4096);
  check(s.num_heads % s.num_kv_heads == 0, "`num_kv_heads` does not divide `num_heads`");
  s.d_key = whole("d_key", 8, 4096);
  check(s.d_key % 8 == 0, "`d_key` is no multiple of 8");
  s.d_value = whole("d_value", 8, 4096);
  check(s.d_value % 8 == 0, "`d_value` is no multiple of 8");
  const bool encoder = s.architecture == Architecture::encoder_decoder;
  s.encoder_layers = whole("encoder_layers", encoder ? 1 : 0, encoder ? 1024 : 0);
  s.decoder_layers = whole("decoder_layers", 1, 1024);
  s.source_vocab_size = whole("source_vocab_size", 4, kMost);
  s.target_vocab_size = whole("target_vocab_size", 4, kMost);
  const FeedForward& feed_forward = kFeedForwards[whole("feed_forward", 0, 9)];
  s.activation = feed_forward.activation;
  s.gated = feed_forward.gated;
  s.centred = whole("normalization", 0, 1) == 0;
  s.epsilon = static_cast<float>(file.real("norm_epsilon"));
  s.pre_norm = whole("norm", 0, 1) == 1;
  s.positions = static_cast<Positions>(whole("positions", 0, 5));
  s.halves = whole("position_layout", 0, 1) == 1;
  s.attention_scale = static_cast<float>(file.real("attention_scale"));
  s.embedding_scale = static_cast<float>(file.real("embedding_scale"));
  s.embedding_norm = whole("embedding_norm", 0, 1) == 1;
  s.source_sees_all = whole("source_sees_all", 0, 1) == 1;
  if (s.positions == Positions::relative) {
    s.relative_buckets = whole("relative_buckets", 4, 65536);
    check(s.relative_buckets % 2 == 0, "`relative_buckets` is odd");
    s.relative_max_distance = whole("relative_max_distance", s.relative_buckets / 2 + 1, kMost);
  }
  s.max_source_length = whole("max_source_length", 0, kMost);
  s.max_target_length = whole("max_target_length", 0, kMost);
  s.pad = whole("pad_id", 0, s.target_vocab_size - 1);
  s.unk = whole("unk_id", 0, s.target_vocab_size - 1);
  s.bos = whole("bos_id", 0, s.target_vocab_size - 1);
  s.eos = whole("eos_id", 0, s.target_vocab_size - 1);
  // The end of a source is looked up in the source's vocabulary.
  check(s.eos < s.source_vocab_size, "`eos_id` is not in the source's vocabulary");
  return s;
}

}  // namespace attento
