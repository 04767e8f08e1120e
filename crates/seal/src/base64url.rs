//! Base64 in the URL-safe alphabet without padding, by vector instructions where the machine has them: every request of a
//! session opens a token of some hundred characters.

use base64::engine::general_purpose::NO_PAD;
use std::sync::LazyLock;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) static BASE64_URL: LazyLock<base64::engine::Simd> =
    LazyLock::new(|| base64::engine::Simd::url_safe(NO_PAD));

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) static BASE64_URL: LazyLock<base64::engine::GeneralPurpose> =
    LazyLock::new(|| base64::engine::GeneralPurpose::new(&base64::alphabet::URL_SAFE, NO_PAD));

#[cfg(test)]
mod tests {
    use super::BASE64_URL;
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_machine_the_text_is_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            prop_assert_eq!(&BASE64_URL.encode(&bytes), &text);
            prop_assert_eq!(BASE64_URL.decode(&text).ok(), Some(bytes));
        }

        #[test]
        fn what_one_refuses_the_other_refuses(mut text in "[A-Za-z0-9_-]{0,200}", at in 0usize..200, wrong in any::<char>()) {
            if let Some((at, _)) = text.char_indices().nth(at) {
                text.insert(at, wrong);
            }
            prop_assert_eq!(BASE64_URL.decode(&text).ok(), URL_SAFE_NO_PAD.decode(&text).ok());
        }
    }
}
