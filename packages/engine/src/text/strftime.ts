const months = 'January February March April May June July August September October November December'.split(' ')
const days = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

/**
 * Python's `strftime` as far as chat templates use it: local time, English names whatever the machine's locale is
 * (models were trained on those), `%-d` and the like without the leading zero. Unknown directives stay as they are.
 */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (directive: string, bare: string, letter: string) => {
    const value = field(date, letter)
    if (value === undefined) return directive
    return bare === '' ? value : value.replace(/^0+(?=\d)/, '')
  })
}

function field(date: Date, letter: string): string | undefined {
  const two = (value: number) => String(value).padStart(2, '0')
  const hour = date.getHours()
  const month = months[date.getMonth()] ?? ''
  const day = days[date.getDay()] ?? ''
  switch (letter) {
    case 'Y':
      return String(date.getFullYear())
    case 'y':
      return two(date.getFullYear() % 100)
    case 'm':
      return two(date.getMonth() + 1)
    case 'B':
      return month
    case 'b':
      return month.slice(0, 3)
    case 'd':
      return two(date.getDate())
    case 'A':
      return day
    case 'a':
      return day.slice(0, 3)
    case 'H':
      return two(hour)
    case 'I':
      return two(hour % 12 || 12)
    case 'p':
      return hour < 12 ? 'AM' : 'PM'
    case 'M':
      return two(date.getMinutes())
    case 'S':
      return two(date.getSeconds())
    case '%':
      return '%'
    default:
      return undefined
  }
}
