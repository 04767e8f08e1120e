//! The process's cryptographic library behind snow's traits, so that there is one and not two.
//!
//! X25519, AES-256-GCM and SHA-256 alone: what our one pattern needs. A test talks to snow's own implementation.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
    digest::{Context, SHA256},
};
use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};

const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// aws-lc-rs.
pub(super) struct AwsLc;

impl CryptoResolver for AwsLc {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SystemRandom))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(Curve::default()) as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha256(Context::new(&SHA256))) as _)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| Box::new(AesGcm(None)) as _)
    }
}

struct SystemRandom;

impl Random for SystemRandom {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        aws_lc_rs::rand::fill(dest).map_err(|_| Error::Rng)
    }
}

#[derive(Default)]
struct Curve {
    private: [u8; KEY_LEN],
    public: [u8; KEY_LEN],
}

impl Curve {
    fn key(&self) -> Result<PrivateKey, Error> {
        PrivateKey::from_private_key(&X25519, &self.private).map_err(|_| Error::Dh)
    }

    fn derive(&mut self) -> Result<(), Error> {
        let public = self.key()?.compute_public_key().map_err(|_| Error::Dh)?;
        self.public = public.as_ref().try_into().map_err(|_| Error::Dh)?;
        Ok(())
    }
}

impl Dh for Curve {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_LEN
    }

    fn priv_len(&self) -> usize {
        KEY_LEN
    }

    /// A key of another length leaves the pair unusable: the exchange fails.
    fn set(&mut self, privkey: &[u8]) {
        self.private = privkey.try_into().unwrap_or_default();
        if self.derive().is_err() {
            *self = Self::default();
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        rng.try_fill_bytes(&mut self.private)?;
        self.derive()
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.private
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        // snow hands over a buffer as long as the longest key of any curve.
        let theirs = UnparsedPublicKey::new(&X25519, pubkey.get(..KEY_LEN).ok_or(Error::Dh)?);
        let out = out.get_mut(..KEY_LEN).ok_or(Error::Dh)?;
        // RFC 7748, 6.1: a point of small order gives zero, which is refused in there.
        agree(&self.key()?, theirs, Error::Dh, |shared| {
            out.copy_from_slice(shared);
            Ok(())
        })
    }
}

struct Sha256(Context);

impl Hash for Sha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Context::new(&SHA256);
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let digest = self.0.clone().finish();
        for (to, from) in out.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
    }
}

/// Without a key it encrypts nothing and opens nothing.
struct AesGcm(Option<LessSafeKey>);

/// Noise, 12.4: 32 zero bits, then the counter in big-endian.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; KEY_LEN]) {
        self.0 = UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new);
    }

    /// 0 = it failed. No message is that short, so the sender notices.
    fn encrypt(&self, counter: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let len = plaintext.len();
        let (Some(key), Some(out)) = (&self.0, out.get_mut(..len + TAG_LEN)) else { return 0 };
        let (text, tag) = out.split_at_mut(len);
        text.copy_from_slice(plaintext);
        match key.seal_in_place_separate_tag(nonce(counter), Aad::from(authtext), text) {
            Ok(made) => {
                tag.copy_from_slice(made.as_ref());
                len + TAG_LEN
            }
            Err(_) => 0,
        }
    }

    fn decrypt(
        &self,
        counter: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let len = ciphertext.len().checked_sub(TAG_LEN).ok_or(Error::Decrypt)?;
        let (text, tag) = ciphertext.split_at(len);
        let out = out.get_mut(..len).ok_or(Error::Decrypt)?;
        key.open_separate_gather(nonce(counter), Aad::from(authtext), text, tag, out)
            .map_err(|_| Error::Decrypt)?;
        Ok(len)
    }
}
