/** Where Debian's package `tuxpaint-stamps-default` puts the stamps. */
export const STAMPS_FOLDER = "/usr/share/tuxpaint/stamps";
