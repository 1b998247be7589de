//! Rate limits and Hyperdrive, against `workers/rate-limit`.

use mayfly_tests::cases;

cases! {
    ["rate-limit"], [];
    a_key_passes_as_often_as_its_limit_says,
    bindings_of_one_namespace_count_together,
    what_is_no_key_is_refused,
    a_connection_string_comes_in_parts,
}
