//! Queues, against `workers/queues`.

use std::time::Duration;

use mayfly_tests::{Server, cases, signal, wait_until};

cases! {
    ["queues"], ["--ephemeral"];
    a_message_arrives_with_what_is_known_of_it,
    bodies_come_in_every_form,
    batches_are_filled_up_to_their_size,
    what_is_retried_comes_again_and_the_rest_does_not,
    a_handler_that_throws_has_acknowledged_what_it_said,
    what_fails_too_often_goes_to_the_dead_letter_queue,
    delays_are_kept,
    limits_are_errors_that_say_so,
}

#[test]
fn what_was_sent_arrives_after_the_host_was_killed() {
    let folder = std::env::temp_dir().join(format!("mayfly-queues-{}", std::process::id()));
    let state = folder.to_str().expect("the folder for tests is UTF-8");
    let server = Server::start_with(&["queues"], &["--state", state]);
    for n in 0..5 {
        assert_eq!(server.get(&format!("/send?n={n}&delay=2")).body, "sent");
    }
    assert_eq!(server.get("/kept").body, "[]");
    signal(server.pid(), "KILL");
    drop(server);
    std::thread::sleep(Duration::from_millis(200));
    let server = Server::start_with(&["queues"], &["--state", state]);
    wait_until("all five messages arrive", || {
        server.get("/kept").body == "[0,1,2,3,4]"
    });
    drop(server);
    let _ = std::fs::remove_dir_all(&folder);
}
