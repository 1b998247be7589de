//! Decorators as the engine does not have them yet: see `workers/decorators`.

mayfly_tests::cases! {
    ["decorators"], [];
    decorators_in_javascript,
    lines_stay_where_they_were,
    classes_are_decorated_once_and_in_order,
    instances_are_initialised_in_order,
    members_are_what_decorators_make_of_them,
    each_evaluation_of_a_class_is_its_own,
    access_reaches_the_member,
    what_is_no_decorator_is_refused,
    an_error_has_the_line_of_the_file,
}
