//! The flags of `hatch master-key`.

use clap::Subcommand;

/// What to do with the installation's master key.
#[derive(Debug, Subcommand)]
pub enum MasterKey {
    /// Make a master key, and print it this once.
    #[command(
        after_help = "Example: (umask 077; hatch master-key create > /etc/hatch/master-key)\n\
        It seals the secrets that the log keeps, such as those of accounts. Every process needs it, as\n  \
        HATCH_MASTER_KEY_FILE=/etc/hatch/master-key\n\
        Keep a copy of it where the backups of the database are not: whoever has both has the secrets,\n\
        and whoever has lost it enters them all anew."
    )]
    Create,
    /// Keep all secrets under the master key that is set now, where they are under the one before.
    #[command(after_help = "Example: hatch master-key rotate\n\
        Before, give every process both: the new one as HATCH_MASTER_KEY_FILE, the old one as\n\
        HATCH_MASTER_KEY_PREVIOUS_FILE. Both count meanwhile. Killed, it loses nothing: run it again.\n\
        It says when the old one may go; exit status 1 while it may not.")]
    Rotate,
}
