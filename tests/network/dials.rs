//! Connections that are made while packets are lost, and paths on which large packets vanish.

use crate::numbers::times_of_dials;
use crate::support::form::{Form, in_both_forms};
use crate::support::ms;
use crate::support::network::in_network;

in_both_forms! {
    under_loss_nineteen_of_twenty_dials_wait_for_no_second,
}

fn under_loss_nineteen_of_twenty_dials_wait_for_no_second(form: Form) {
    let name = "dials::under_loss_nineteen_of_twenty_dials_wait_for_no_second";
    in_network(&form.name(name), |network| {
        let times = times_of_dials(form, network, 600);
        let (half, most) = (times[times.len() / 2], times[times.len() * 95 / 100]);
        println!("numbers: dials at 100 ms and 5 % loss, {form:?}: p50 {half:?}, p95 {most:?}");
        assert!(half >= ms(100) && most < ms(800), "{half:?}, {most:?}");
        // The connections are counted once each, whatever was dialled for them.
        let counts = network.counts();
        assert!(counts.dials < 600 * 13 / 10, "{counts:?}");
    });
}
