# Read by the scripts beside it, in the checkout's root: what was unpacked in $work runs the checkout.
. "$work/environment.sh"
# Links among packages lead to this checkout.
ln -sfn "$PWD/packages" "$work/packages"
ln -sfn "$work/node_modules" node_modules
