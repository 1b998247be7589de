//! node:crypto: see `workers/node-crypto/index.js`.

mayfly_tests::cases! {
    ["node-crypto"], [] as [&str; 0];
    hashes_are_those_of_their_standards,
    a_hash_is_a_stream_and_ends_once,
    codes_are_those_of_their_rfcs,
    derivations_are_those_of_their_rfcs,
    random_values_have_their_shape,
    primes_are_made_and_told,
    ciphers_are_those_of_their_standards,
    what_was_sealed_opens_with_its_key_and_tag_alone,
    nothing_is_ciphered_after_the_end,
    encrypted_keys_of_openssl_are_read,
    keys_go_out_and_in_in_every_format,
    secret_keys_are_copies,
    keys_of_webcrypto_become_key_objects,
    signatures_of_node_hold,
    signatures_hold_for_their_data_alone,
    rsa_opens_what_node_sealed,
    both_sides_agree,
    certificates_say_what_openssl_says,
    certificates_are_checked,
}
