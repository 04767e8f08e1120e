//! Values that a shared store keeps: binary, and bound to the key they are stored under.

use crate::{KeyRing, Purpose, Refused, SealError, TAG_LEN, associated};
use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};

const FORMAT: u8 = 1;

impl KeyRing {
    /// Seals what is stored under `name`. Layout: format, length of the key id, key id, nonce, ciphertext, tag. The name is
    /// authenticated, so that a value moved to another name does not open. Values do not expire: the store's own TTL ends them,
    /// and who reads one must be able to tell an old value from a new one by what it holds (an epoch, a sequence number).
    pub fn seal_value(&self, name: &[u8], value: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.keys.first().ok_or(SealError)?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError)?;
        let mut sealed = Vec::with_capacity(2 + key.id.len() + NONCE_LEN + value.len() + TAG_LEN);
        sealed.push(FORMAT);
        sealed.push(key.id.len() as u8);
        sealed.extend_from_slice(key.id.as_bytes());
        let aad = Aad::from(associated(&sealed, Purpose::Store, name));
        sealed.extend_from_slice(&nonce);
        let start = sealed.len();
        sealed.extend_from_slice(value);
        let tag = key.subkeys[Purpose::Store as usize]
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed[start..])
            .map_err(|_| SealError)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`seal_value`](Self::seal_value) made for the same name.
    pub fn open_value(&self, name: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Refused> {
        let [FORMAT, id_len, rest @ ..] = sealed else { return Err(Refused("format")) };
        let (id, rest) = rest.split_at_checked(usize::from(*id_len)).ok_or(Refused("format"))?;
        let head = &sealed[..2 + id.len()];
        let id = std::str::from_utf8(id).map_err(|_| Refused("format"))?;
        let key = self.find(id).ok_or(Refused("unknown_key"))?;
        let (nonce, secret) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Refused("format"))?;
        let aad = Aad::from(associated(head, Purpose::Store, name));
        let mut secret = secret.to_vec();
        let plain = key.subkeys[Purpose::Store as usize]
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut secret)
            .map_err(|_| Refused("tag"))?
            .len();
        secret.truncate(plain);
        Ok(secret)
    }
}
