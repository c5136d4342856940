const paths = {
  send: 'M12 19V5m-6 6 6-6 6 6',
  stop: 'M7 7h10v10H7z',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  edit: 'M4 20h4L19 9l-4-4L4 16z',
  again: 'M20 11a8 8 0 1 0-2 6m2-12v6h-6',
  delete: 'M5 7h14M9 7V4h6v3m-8 0 1 13h8l1-13',
  menu: 'M4 7h16M4 12h16M4 17h16',
  settings: 'M4 7h10m4 0h2M4 17h2m4 0h10M16 5v4M8 15v4',
  attach: 'M19 11l-7.5 7.5a4 4 0 0 1-6-6L13 5a2.8 2.8 0 0 1 4 4l-7.4 7.4a1.2 1.2 0 0 1-1.8-1.8L14 8.5',
  export: 'M12 4v11m-5-5 5 5 5-5M5 20h14',
  tokens: 'M4 6h5v5H4zM11 6h9v5h-9zM4 13h9v5H4zM15 13h5v5h-5z',
  close: 'M6 6l12 12M18 6L6 18',
  done: 'M5 12.5l4.5 4.5L19 7.5',
} as const

export type IconName = keyof typeof paths

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  )
}

/** A button that is an icon; its label is read aloud and shown as a tip. */
export function IconButton(props: {
  icon: IconName
  label: string
  onClick: () => void
  disabled?: boolean
  pressed?: boolean
  kind?: 'primary'
}) {
  const { icon, label, onClick, disabled = false, pressed, kind } = props
  return (
    <button
      type="button"
      class={`icon-button ${kind ?? ''}`}
      title={label}
      aria-label={label}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  )
}
